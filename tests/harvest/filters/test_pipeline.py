"""Looking at photographs: one decode, all filters, limits that hold whatever the bytes are."""

import io
import pickle
import re
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from lightmeter.errors import UsageError
from lightmeter.harvest.filters import (
    DecodedImage,
    DecodeLimits,
    Filter,
    InspectionPlan,
    Measurement,
    Measures,
    Verdict,
    inspect,
    load_filters,
)
from lightmeter.settings import Section, Settings


class Slow(Filter[Section]):
    """Never finishes."""

    name: ClassVar[str] = "slow"
    version: ClassVar[int] = 1
    Settings = Section

    def measure(self, image: DecodedImage) -> Measurement:
        while True:
            time.sleep(0.01)

    def judge(self, measures: Measures) -> Verdict:
        return Verdict("keep")


def encoded(pixels: Any, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def noise(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plan() -> InspectionPlan:
    return InspectionPlan.from_settings(Settings())


def test_all_filters_find_something_in_one_go(plan: InspectionPlan) -> None:
    inspected = inspect(encoded(noise()), plan)
    assert (inspected.format, inspected.width, inspected.height, inspected.problem) == ("JPEG", 128, 96, None)
    assert set(inspected.results) >= {"borders", "duplicates", "monochrome", "quality"}
    assert inspected.quantisation is not None
    assert len(inspected.quantisation) == 16
    assert pickle.loads(pickle.dumps(inspected)) == inspected
    assert [one.name for one in pickle.loads(pickle.dumps(plan)).filters] == [one.name for one in plan.filters]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"<html>no</html>", "not an image"),
        (bytes(5000), "not an image"),
        (b"\xff\xd8\xff\xe0", "undecodable: damaged header"),
        (encoded(noise())[:4000], "truncated"),
        (encoded(noise(), "PNG")[:4000], "truncated"),
    ],
)
def test_what_is_wrong_comes_out_as_a_short_reason(plan: InspectionPlan, data: bytes, problem: str) -> None:
    inspected = inspect(data, plan)
    assert inspected.problem == problem
    assert inspected.results == {}


def test_a_truncated_photograph_still_tells_its_size_and_settings(plan: InspectionPlan) -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x8827] = 400
    inspected = inspect(encoded(noise(), exif=tags)[:4000], plan)
    assert (inspected.format, inspected.width, inspected.exif.values.iso) == ("JPEG", 128, 400.0)


def test_limits_on_bytes_pixels_and_time() -> None:
    data = encoded(noise())
    assert inspect(data, InspectionPlan(limits=DecodeLimits(max_bytes=100))).problem == "too many bytes"
    bomb = inspect(
        encoded(Image.new("1", (9000, 9000)), "PNG"), InspectionPlan(limits=DecodeLimits(max_pixels=1_000_000))
    )
    assert (bomb.problem, bomb.width) == ("too many pixels", 9000)
    start = time.monotonic()
    assert inspect(data, InspectionPlan((Slow(),), DecodeLimits(timeout_s=0.2))).problem == "timeout"
    assert time.monotonic() - start < 2


def test_an_image_larger_than_pillow_likes_is_looked_at_within_our_own_limit() -> None:
    data = encoded(Image.new("L", (10_000, 9_500)), "PNG", compress_level=1)
    assert inspect(data, InspectionPlan()).problem is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr", "LAB"])
def test_every_mode_can_be_looked_at(plan: InspectionPlan, mode: str) -> None:
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "TIFF")
    picture = Image.new("I;16", (64, 64), 40_000) if mode == "I;16" else Image.fromarray(noise(64, 64)).convert(mode)
    assert inspect(encoded(picture, kind), plan).problem is None


def test_sixteen_bits_are_scaled_and_not_clipped(plan: InspectionPlan) -> None:
    inspected = inspect(encoded(Image.new("I;16", (64, 64), 0x8080), "PNG"), plan)
    assert inspected.results["quality"].measures["brightness"] == 128.0


def test_thresholds_come_from_the_settings() -> None:
    (quality,) = load_filters({"quality": {"min_sharpness": 1e9}}, ["quality"])
    assert inspect(encoded(noise()), InspectionPlan((quality,))).results["quality"].reason == "blurred"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"qualty": {}}, "Unknown filter 'qualty'"), ({"quality": {"min_contrast": -1}}, "'min_contrast'"), ({"quality": {"x": 1}}, "'x'")],
)  # fmt: skip
def test_wrong_settings_are_one_sentence(settings: dict[str, dict[str, Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_filters(settings)


def test_measures_are_judged_again_without_the_picture() -> None:
    (quality,) = load_filters({}, ["quality"])
    finding = inspect(encoded(noise()), InspectionPlan((quality,))).results["quality"]
    (stricter,) = load_filters({"quality": {"min_sharpness": 1e9}}, ["quality"])
    assert finding.verdict == "keep"
    assert stricter.judge(finding.measures) == Verdict("drop", "blurred")


@pytest.mark.shared
def test_no_broken_file_harms(shared: Path) -> None:
    plan = InspectionPlan(
        tuple(load_filters({}, ["borders", "duplicates", "monochrome", "quality"])), DecodeLimits(timeout_s=20)
    )
    known = r"empty|not an image|truncated|too many pixels|undecodable: .+"
    for file in sorted((shared / "broken").glob("*/*")):
        start = time.monotonic()
        inspected = inspect(file.read_bytes(), plan)
        assert time.monotonic() - start < 20, file
        assert inspected.problem is None or re.fullmatch(known, inspected.problem), file
        pickle.dumps(inspected)
