"""The test kits for plugins report faulty plugins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.sources.base import Checkpoint, Sighting, Source, SpiderSource
from lightmeter.harvest.sources.website import Website
from lightmeter.labels.targets.base import PhotoFacts
from lightmeter.labels.targets.registry import get_target
from lightmeter.settings import Section
from lightmeter.testing import FilterTests, SourceTests, TargetTests, photograph, served
from lightmeter.testing.server import run_lightmeter


class Faulty(Source):
    """A source that repeats an identifier, resumes wrongly and downloads a photograph itself."""

    name = "faulty"
    summary = "faulty"
    url = "https://example.org"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        httpx.get(f"{self.url}/1.jpg")
        yield Sighting(source_id="1", media_url=f"{self.url}/1.jpg", licence="CC BY 4.0")
        yield Checkpoint({"next": 2})
        yield Sighting(source_id="1", media_url="ftp://example.org/2.jpg")


class FaultySourceTests(SourceTests):
    source = Faulty


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("test_ids_are_unique_and_stable", "the identifier 1 appears twice"),
        ("test_sightings_have_allowed_urls_and_credit", "requires an attribution"),
        ("test_discovery_downloads_no_photographs", None),
        ("test_discovery_resumes_from_each_checkpoint", "the source yields .* expected"),
    ],
)
def test_source_tests_find_fault(
    test: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.jpg").write_bytes(photograph())
    with served(tmp_path) as server:
        monkeypatch.setattr(Faulty, "url", server.url)
        with pytest.raises(AssertionError, match=message):
            getattr(FaultySourceTests(), test)({})


class Endless(Faulty):
    """A source whose paging never ends."""

    name = "endless"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        while True:
            yield Sighting(source_id="1", title=5)  # type: ignore[arg-type]


def test_source_tests_end_with_endless_paging_and_name_wrong_fields() -> None:
    class EndlessSourceTests(SourceTests):
        source = Endless
        timeout_s = 0.05

    with pytest.raises(AssertionError, match=r"does not end within 0\.05 s.*1 different photographs; expected"):
        EndlessSourceTests().test_ids_are_unique_and_stable({})
    with pytest.raises(AssertionError, match=r"title is 5 \(int\) instead of a text .*Endless"):
        FaultySourceTests().check_fields([Sighting(source_id="1", title=5)], Endless({}))  # type: ignore[arg-type]


def test_source_tests_read_pages_of_spider_source(tmp_path: Path) -> None:
    class WebsiteTests(SourceTests):
        source = Website

    assert issubclass(Website, SpiderSource)
    (tmp_path / "index.html").write_text('<figure><img src="1.jpg"></figure>')
    with served(tmp_path) as server:
        file = tmp_path / "site.toml"
        file.write_text(f'start = ["{server.url}/"]\n[photograph]\neach = "figure"\n')
        assert WebsiteTests().ids({"file": file}) == [f"{server.url}/1.jpg"]
        with pytest.raises(AssertionError, match="expected at least two"):
            WebsiteTests().test_ids_are_unique_and_stable({"file": file})


class WideSettings(Section):
    """Settings of the faulty filter."""

    scale: float = Field(1.0, description="factor")


class Wide(Filter[WideSettings]):
    """A filter with measures that depend on its settings, and without reasons."""

    name, version, summary, Settings = "wide", 1, "width", WideSettings

    def measure(self, image: DecodedImage) -> Measurement:
        return Measurement({"width": image.width * self.settings.scale})

    def judge(self, measures: Measures) -> Verdict:
        return KEEP if measures["width"] < 200 else Verdict("drop")


class WideTests(FilterTests):
    filter = Wide
    settings: ClassVar[dict[str, Any]] = {"scale": 2.0}


def test_filter_tests_find_measures_that_depend_on_settings() -> None:
    with pytest.raises(AssertionError):
        WideTests().test_measures_depend_on_image_alone(photograph(), photograph())


def test_filter_tests_find_missing_reason() -> None:
    with pytest.raises(AssertionError, match="must name a reason"):
        WideTests().test_verdicts_are_as_expected(photograph(), photograph(size=(150, 100)))


def test_target_tests_find_class_without_example() -> None:
    class ShutterTests(TargetTests):
        plugin, name = "exposure", "shutter-binary"

    examples = [(PhotoFacts(1, {"exposure_time_s": 1 / 4000}), "fast")]
    with pytest.raises(AssertionError, match="no example of slow"):
        ShutterTests().test_every_class_has_an_example(get_target("shutter-binary"), examples)


def test_harvest_runs_in_a_process_with_a_time_limit(tmp_path: Path) -> None:
    command = ("harvest", "run", "urls", "list.txt")
    assert "not in a project" in run_lightmeter(tmp_path, *command, code=2)["error"]
    with pytest.raises(AssertionError, match=r"did not end within 0\.01 s"):
        run_lightmeter(tmp_path, *command, timeout_s=0.01)
