"""Inspection: problems of files, limits, image modes and settings of filters."""

import json
import pickle
import re
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.filters.base import Detection, Filter, FilterResult, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from lightmeter.images.geometry import Box
from lightmeter.settings import InspectSection, Section, Settings
from lightmeter.terminal.console import Console, use_console
from tests.support import encode_image


class Slow(Filter[Section]):
    """A filter that never finishes."""

    name: ClassVar[str] = "slow"
    version: ClassVar[int] = 1
    Settings = Section

    def measure(self, image: DecodedImage) -> Measurement:
        while True:
            time.sleep(0.01)

    def judge(self, measures: Measures) -> Verdict:
        return Verdict("keep")


def noise(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plan() -> InspectionPlan:
    return InspectionPlan.from_settings(Settings())


def test_inspection_runs_all_filters(plan: InspectionPlan) -> None:
    inspected = inspect(encode_image(noise()), plan)
    assert (inspected.format, inspected.width, inspected.height, inspected.problem) == ("JPEG", 128, 96, None)
    assert set(inspected.results) >= {"borders", "duplicates", "monochrome", "quality"}
    assert inspected.quantisation is not None
    assert len(inspected.quantisation) == 16
    assert pickle.loads(pickle.dumps(inspected)) == inspected
    assert [item.name for item in pickle.loads(pickle.dumps(plan)).filters] == [item.name for item in plan.filters]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"<html>no</html>", "not an image"),
        (bytes(5000), "not an image"),
        (b"\xff\xd8\xff\xe0", "undecodable: damaged header"),
        (encode_image(noise())[:4000], "truncated"),
        (encode_image(noise(), "PNG")[:4000], "truncated"),
    ],
)
def test_unreadable_files_have_a_problem(plan: InspectionPlan, data: bytes, problem: str) -> None:
    inspected = inspect(data, plan)
    assert inspected.problem == problem
    assert inspected.results == {}


def test_truncated_photograph_has_size_and_exif(plan: InspectionPlan) -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x8827] = 400
    inspected = inspect(encode_image(noise(), exif=tags)[:4000], plan)
    assert (inspected.format, inspected.width, inspected.exif.values.iso) == ("JPEG", 128, 400.0)


def test_limits_on_bytes_pixels_and_time() -> None:
    data = encode_image(noise())
    assert inspect(data, InspectionPlan(max_bytes=100)).problem == "too many bytes"
    bomb = inspect(
        encode_image(Image.new("1", (9000, 9000)), "PNG"), InspectionPlan(limits=InspectSection(max_pixels=1_000_000))
    )
    assert (bomb.problem, bomb.width) == ("too many pixels", 9000)
    result = inspect(data, InspectionPlan((Slow(),), InspectSection(timeout_s=0.2)))
    assert result.problem == "inspection took longer than 0.2 s"


def test_limit_on_memory_by_format() -> None:
    limits = InspectSection(max_memory_mb=10)
    picture = Image.new("RGB", (1000, 1000))
    assert inspect(encode_image(picture, "JPEG"), InspectionPlan(limits=limits)).problem is None
    refused = inspect(encode_image(picture, "JPEG2000"), InspectionPlan(limits=limits))
    assert (refused.problem, refused.width) == ("too much memory", 1000)


def test_pixel_limit_of_pillow_is_not_used() -> None:
    data = encode_image(Image.new("L", (10_000, 9_500)), "PNG", compress_level=1)
    assert inspect(data, InspectionPlan()).problem is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr", "LAB"])
def test_every_image_mode_is_inspected(plan: InspectionPlan, mode: str) -> None:
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "TIFF")
    image = Image.new("I;16", (64, 64), 40_000) if mode == "I;16" else Image.fromarray(noise(64, 64)).convert(mode)
    assert inspect(encode_image(image, kind), plan).problem is None


def test_sixteen_bit_images_are_scaled(plan: InspectionPlan) -> None:
    inspected = inspect(encode_image(Image.new("I;16", (64, 64), 0x8080), "PNG"), plan)
    assert inspected.results["quality"].measures["brightness"] == 128.0


def test_settings_set_the_thresholds() -> None:
    (quality,) = load_filters({"quality": {"min_sharpness": 1e9}}, ["quality"])
    assert inspect(encode_image(noise()), InspectionPlan((quality,))).results["quality"].reason == "blurred"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"qualty": {}}, "Unknown filter 'qualty'"), ({"quality": {"min_contrast": -1}}, "'min_contrast'"), ({"quality": {"x": 1}}, "'x'")],
)  # fmt: skip
def test_invalid_settings_raise_error(settings: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_filters(settings, ["quality"])


def test_stored_measures_are_judged_with_new_settings() -> None:
    (quality,) = load_filters({}, ["quality"])
    result = inspect(encode_image(noise()), InspectionPlan((quality,))).results["quality"]
    (stricter,) = load_filters({"quality": {"min_sharpness": 1e9}}, ["quality"])
    assert result.verdict == "keep"
    assert stricter.judge(result.measures) == Verdict("drop", "blurred")


class Numbers(Filter[Section]):
    """Measures what its test says."""

    name, version, summary, Settings = "numbers", 1, "numbers", Section
    measures: ClassVar[dict[str, Any]] = {}
    verdict: ClassVar[Any] = "keep"

    def measure(self, image: DecodedImage) -> Measurement:
        box = Box(*np.array([1, 2, 3, 4], np.int64))
        return Measurement(dict(self.measures), (Detection("face", box, np.float32(0.5)),))  # type: ignore[arg-type]

    def judge(self, measures: Measures) -> Verdict:
        return Verdict(self.verdict)


def numbers(measures: dict[str, Any], verdict: Any = "keep") -> FilterResult:
    """Return the result of `Numbers`, beside another filter."""
    item = type("Fixed", (Numbers,), {"measures": measures, "verdict": verdict})()
    inspected = inspect(encode_image(noise()), InspectionPlan((item, *load_filters({}, ["quality"]))))
    assert inspected.problem is None
    assert inspected.results["quality"].verdict == "keep"
    return inspected.results["numbers"]


def test_numpy_measures_are_stored_as_json() -> None:
    measures = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.array([1, 2]),
        "d": np.bool_(True),
        "e": (np.nan, -np.inf),
    }
    result = numbers(measures)
    assert result.measures == {"a": 0.5, "b": 3, "c": [1, 2], "d": True, "e": [None, None]}
    assert json.dumps([*result.detections[0].box, result.detections[0].score]) == "[1, 2, 3, 4, 0.5]"


@pytest.mark.parametrize(
    ("measures", "verdict", "reason"),
    [
        ({"a": {1, 2}}, "keep", "TypeError: a measure has the type set"),
        ({}, "maybe", "ValueError: the verdict is 'maybe'"),
        ({}, None, "ValueError: the verdict is None"),
    ],
)
def test_failing_filter_has_a_result_of_its_own(measures: dict[str, Any], verdict: Any, reason: str) -> None:
    result = numbers(measures, verdict)
    assert result.verdict == "failed"
    assert (result.reason or "").startswith(f"filter numbers failed: {reason}")


def test_disabled_filters_run_only_when_named() -> None:
    settings = Settings(inspect=InspectSection(disabled=("quality",), later=("borders",)))
    names = {item.name for item in InspectionPlan.from_settings(settings).filters}
    assert "borders" in names
    assert "quality" not in names
    assert {item.name for item in InspectionPlan.for_download(settings).filters} == names - {"borders"}
    assert [item.name for item in InspectionPlan.from_settings(settings, ["quality"]).filters] == ["quality"]


@pytest.mark.parametrize("module", ["no.such.module:Filter", "json:dumps"])
def test_broken_filter_package_leaves_the_others(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = plugins.installed("filters")
    broken = plugins.Plugin("broken", "acme", "2.0", EntryPoint("broken", module, "lightmeter.filters"))
    monkeypatch.setattr(plugins, "installed", lambda _group: {**installed, "broken": broken})
    with use_console(Console()):
        names = [item.name for item in InspectionPlan.from_settings(Settings()).filters]
    assert names == sorted(installed)
    assert "acme 2.0" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.shared
def test_damaged_files_give_a_problem_in_time(shared: Path) -> None:
    plan = InspectionPlan(
        tuple(load_filters({}, ["borders", "duplicates", "monochrome", "quality"])), InspectSection(timeout_s=20)
    )
    problems = (
        r"empty|not an image|truncated|too many pixels|raw format|unsupported .+|HEIF: install .+|undecodable: .+"
    )
    files = sorted((shared / "broken").glob("*/*"))
    assert len(files) > 100
    for file in files:
        start = time.process_time()
        inspected = inspect(file.read_bytes(), plan)
        assert time.process_time() - start < 20, file
        assert inspected.problem is None or re.fullmatch(problems, inspected.problem), file
        pickle.dumps(inspected)
