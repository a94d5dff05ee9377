"""Warnings for photographs unlike the training photographs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightmeter.models.runtime.input_warnings import input_warnings
from lightmeter.models.runtime.preprocess import Preprocessing, preprocess
from lightmeter.models.runtime.spec import ModelSpec, Target, read_spec
from tests.models.conftest import jpeg
from tests.support import encode_image, run_json

SPEC = ModelSpec(
    "x",
    "1.0",
    "0",
    "patches",
    "efficientnet-lite0",
    Preprocessing(patches=2, patch_size=64),
    (Target("shutter", ("slow", "fast")),),
)
RANGES = {"long_side": (150.0, 640.0), "short_side": (100.0, 480.0), "jpeg_quality": (85.0, 95.0), "colourfulness": (30.0, 120.0)}  # fmt: skip


def noise_image(width: int = 300, height: int = 200, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return encode_image(pixels, **{"quality": 90} | options)


GREY = encode_image(np.full((200, 300), 90, np.uint8) + np.arange(300, dtype=np.uint8), quality=90)


def warnings_for(data: bytes, spec: ModelSpec) -> list[tuple[str, str]]:
    """Return kind and reason of each warning."""
    photo = preprocess(data, spec.preprocessing)
    return [(warning["kind"], warning["reason"]) for warning in input_warnings(photo, spec)]


def test_training_records_statistics_ranges(trained: Path) -> None:
    ranges = read_spec(trained).ranges

    assert ranges["long_side"] == (160.0, 160.0)
    assert ranges["short_side"] == (120.0, 120.0)
    assert ranges["jpeg_quality"] == (92.0, 92.0)
    assert 0 < ranges["colourfulness"][0] < ranges["colourfulness"][1] < 256


def test_predict_warns_outside_the_ranges(trained: Path, tmp_path: Path) -> None:
    for name, size in (("usual", (160, 120)), ("large", (1600, 1200))):
        (tmp_path / name).write_bytes(jpeg(noisy=True, seed=1, size=size))

    usual, large = run_json("models", "predict", trained, tmp_path / "usual", tmp_path / "large")

    assert "warnings" not in usual
    assert {warning["kind"] for warning in large["warnings"]} == {"outside"}
    assert large["warnings"][0]["reason"] == (
        "The photograph has 1600 pixels on its longer side; training photographs have 160."
    )


@pytest.mark.parametrize(
    ("photograph", "kinds", "text"),
    [
        (noise_image(), [], ""),
        (noise_image(kind="PNG"), [], ""),
        (noise_image(2000, 1500), ["outside", "outside"], "2000 pixels"),
        (noise_image(quality=99), ["outside"], "JPEG quality of about 99"),
        (noise_image(quality=40), ["resaved"], "JPEG quality 40"),
        (noise_image(400, 50), ["tiny"], "400 × 50"),
        (GREY, ["monochrome"], "black and white"),
    ],
    ids=["usual", "png", "large", "fine", "resaved", "tiny", "grey"],
)
def test_each_problem_gives_a_single_warning(photograph: bytes, kinds: list[str], text: str) -> None:
    ranges = {**RANGES, "jpeg_quality": (80.0, 89.0)} if text.endswith("99") else RANGES
    warnings = warnings_for(photograph, replace(SPEC, ranges=ranges))

    assert [kind for kind, _ in warnings] == kinds
    assert text in " ".join(reason for _, reason in warnings)


def test_properties_of_training_photographs_give_no_warning() -> None:
    ranges = {"jpeg_quality": (30.0, 95.0), "colourfulness": (0.0, 120.0)}

    for photograph in (noise_image(quality=40), GREY):
        assert warnings_for(photograph, replace(SPEC, ranges=ranges)) == []
        assert len(warnings_for(photograph, SPEC)) == 1
