"""Tests of the source ``gallery``."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightmeter_source_gallery import Gallery

from lightmeter.testing import SourceTests, photograph, served


def entry(number: int) -> dict[str, str]:
    by = "Ada" if number % 2 else "Grace"
    image = f"{number}.jpg"
    return {"id": f"g{number}", "image": image, "by": by, "title": f"Number {number}", "licence": "CC-BY-4.0"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """URL of a gallery with five photographs on two pages."""
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(photograph(number))
    pages = {"page1.json": ([0, 1, 2], "page2.json"), "page2.json": ([3, 4], None)}
    for name, (numbers, following) in pages.items():
        page = {"photographs": [entry(number) for number in numbers], "next": following}
        (tmp_path / name).write_text(json.dumps(page))
    with served(tmp_path) as server:
        yield f"{server.url}/page1.json"


class TestGallery(SourceTests):
    source = Gallery

    @pytest.fixture
    def query(self, url: str) -> dict[str, str]:
        return {"start": url}

    def test_photographer_option_selects_owner(self, url: str) -> None:
        sightings = self.sightings({"start": url, "photographer": "Ada"})
        assert {sighting.owner for sighting in sightings} == {"Ada"}
