"""Warnings where a photograph is unlike those that a model knows, and EXIF that is told beside a file."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightmeter.image_statistics import jpeg_quality
from lightmeter.models import architectures
from lightmeter.models.runtime.input_warnings import input_warnings
from lightmeter.models.runtime.preprocess import InvalidPhoto, Preprocessing, preprocess
from lightmeter.models.runtime.spec import ModelSpec, Target, read_spec
from lightmeter.models.training.runs import write_model
from tests.support import encode_image, run_error, run_json

from .conftest import jpeg

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


def noise(width: int = 300, height: int = 200, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return encode_image(pixels, **{"quality": 90} | options)


GREY = encode_image(np.full((200, 300), 90, np.uint8) + np.arange(300, dtype=np.uint8), quality=90)


def warned(data: bytes, spec: ModelSpec) -> list[tuple[str, str]]:
    photograph = preprocess(data, spec.preprocessing)
    return [(warning["kind"], warning["reason"]) for warning in input_warnings(data, photograph, spec)]


def test_training_writes_the_ranges_of_its_photographs(trained: Path) -> None:
    ranges = read_spec(trained).ranges

    assert ranges["long_side"] == (160.0, 160.0)
    assert ranges["short_side"] == (120.0, 120.0)
    assert ranges["jpeg_quality"] == (92.0, 92.0)
    assert 0 < ranges["colourfulness"][0] < ranges["colourfulness"][1] < 256


def test_predict_warns_of_a_photograph_outside_them(trained: Path, tmp_path: Path) -> None:
    for name, size in (("usual", (160, 120)), ("large", (1600, 1200))):
        (tmp_path / name).write_bytes(jpeg(noisy=True, seed=1, size=size))

    usual, large = run_json("models", "predict", trained, tmp_path / "usual", tmp_path / "large")

    assert "warnings" not in usual
    assert {warning["kind"] for warning in large["warnings"]} == {"outside"}
    assert large["warnings"][0]["reason"] == (
        "The photograph has 1600 pixels on its longer side; training photographs have 160."
    )


@pytest.mark.parametrize(
    ("photograph", "kinds", "word"),
    [
        (noise(), [], ""),
        (noise(kind="PNG"), [], ""),
        (noise(2000, 1500), ["outside", "outside"], "2000 pixels"),
        (noise(quality=99), ["outside"], "JPEG quality of about 99"),
        (noise(quality=40), ["resaved"], "JPEG quality 40"),
        (noise(400, 50), ["tiny"], "400 × 50"),
        (GREY, ["monochrome"], "black and white"),
    ],
    ids=["usual", "png", "large", "fine", "resaved", "tiny", "grey"],
)
def test_each_peculiarity_is_told_once(photograph: bytes, kinds: list[str], word: str) -> None:
    ranges = {**RANGES, "jpeg_quality": (80.0, 89.0)} if word.endswith("99") else RANGES
    found = warned(photograph, replace(SPEC, ranges=ranges))

    assert [kind for kind, _ in found] == kinds
    assert word in " ".join(reason for _, reason in found)


def test_what_the_training_photographs_are_themselves_is_no_peculiarity() -> None:
    learnt = {"jpeg_quality": (30.0, 95.0), "colourfulness": (0.0, 120.0)}

    for photograph in (noise(quality=40), GREY):
        assert warned(photograph, replace(SPEC, ranges=learnt)) == []
        assert len(warned(photograph, SPEC)) == 1


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 98])
def test_the_quality_of_a_jpeg_is_read_off_its_table(quality: int) -> None:
    image = Image.open(io.BytesIO(encode_image(np.zeros((8, 8, 3), np.uint8), quality=quality)))

    assert abs(jpeg_quality(image.quantization) - quality) <= 1


READING = Preprocessing(patches=0, exif=("f_number", "exposure_time", "iso"))


def photograph_with_exif() -> bytes:
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0x829D: 2.0, 0x829A: 0.25, 0x8827: 100})
    return noise(exif=tags)


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ({}, [1, -2, np.log2(100)]),
        ({"FNumber": 4}, [2, -2, np.log2(100)]),
        ({"FNumber": "f/8", "ExposureTime": "1/8", "ISO": "400"}, [3, -3, np.log2(400)]),
        ({"PhotographicSensitivity": 200, "FNumber": None, "ExposureTime": ""}, [1, -2, np.log2(200)]),
        ({"ExposureTime": "2 s", "ISOSpeedRatings": 3200}, [1, 1, np.log2(3200)]),
        ({"Flash": "Off, Did not fire", "Keywords": ["sea"]}, [1, -2, np.log2(100)]),
    ],
    ids=["the file's", "one", "text", "empty ones", "other names", "not asked for"],
)
def test_tags_that_are_told_win_over_those_in_the_file(told: dict[str, Any], values: list[float]) -> None:
    found = preprocess(photograph_with_exif(), READING, exif=told).inputs["exif"]

    assert found == pytest.approx([*values, 1, 1, 1])


def test_codes_get_a_column_each_and_settings_one() -> None:
    """A program of 4 is not twice a program of 2; codes that Exif does not know, and 0 for unknown, say nothing."""
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0x829D: 4.0, 0x9209: 25, 0x8822: 4, 0x9207: 255})
    settings = Preprocessing(patches=0, exif=("exposure_program", "f_number", "metering_mode", "flash"))

    found = preprocess(noise(exif=tags), settings).inputs["exif"]

    told = {tag: found[places].tolist() for tag, places in settings.exif_columns.items()}
    assert told == {
        "exposure_program": [0, 0, 0, 1, 0, 0, 0, 0, 1],
        "f_number": [2, 1],
        "metering_mode": [0, 0, 0, 0, 0, 0, 0],
        "flash": [1, 1],
    }
    assert len(found) == 20


@pytest.mark.parametrize("value", ["fast", "1/0", "1/2/3", True, [1, 250], {"a": 1}, "nan", "1e999", "9" * 5000])
def test_a_tag_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidPhoto, match="The EXIF tag 'ExposureTime' must be a number or a fraction") as caught:
        preprocess(photograph_with_exif(), READING, exif={"ExposureTime": value})

    assert caught.value.status == 400


@pytest.fixture
def reading_run(tmp_path: Path) -> Path:
    """A run folder of an untrained model that is given EXIF tags alone."""
    spec = replace(SPEC, architecture="fusion", preprocessing=READING)
    (tmp_path / "run").mkdir()
    write_model(tmp_path / "run", spec, architectures.build(spec))
    return tmp_path / "run"


def test_predict_takes_tags_from_a_file(reading_run: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.jpg", tmp_path / "other.jpg"
    one.write_bytes(noise())
    other.write_bytes(noise())
    listed, object_ = tmp_path / "list.json", tmp_path / "object.json"
    listed.write_text(json.dumps([{"SourceFile": str(other), "FNumber": 16}]))
    object_.write_text(json.dumps({"FNumber": 16}))

    def predicted(*words: object) -> list[Any]:
        return [answer["predictions"] for answer in run_json("models", "predict", reading_run, one, other, *words)]

    plain, told = predicted(), predicted("--exif", object_)
    assert plain[0] == plain[1] != told[0] == told[1]
    assert predicted("--exif", listed) == [plain[0], told[1]]


@pytest.mark.parametrize("content", ["[", "[1]", "5", '[{"FNumber": 2}]'])
def test_a_file_of_tags_that_is_none(reading_run: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "exif.json"
    file.write_text(content)

    assert f"The EXIF file {file} " in run_error("models", "predict", reading_run, file, "--exif", file)
