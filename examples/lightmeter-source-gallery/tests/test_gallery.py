"""The conformance tests, and what is particular to a gallery."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightmeter_source_gallery import Gallery

from lightmeter.testing import SourceTests, photograph, served


def _entry(number: int) -> dict[str, str]:
    by = "Ada" if number % 2 else "Grace"
    image = f"{number}.jpg"
    return {"id": f"g{number}", "image": image, "by": by, "title": f"Number {number}", "licence": "CC-BY-4.0"}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A gallery of two pages with five photographs."""
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(photograph(number))
    pages = {"page1.json": ([0, 1, 2], "page2.json"), "page2.json": ([3, 4], None)}
    for name, (numbers, following) in pages.items():
        page = {"photographs": [_entry(number) for number in numbers], "next": following}
        (tmp_path / name).write_text(json.dumps(page))
    with served(tmp_path) as service:
        yield f"{service.address}/page1.json"


class TestGallery(SourceTests):
    source = Gallery

    @pytest.fixture
    def query(self, address: str) -> dict[str, str]:
        return {"start": address}

    def test_one_photographer_alone(self, address: str) -> None:
        owners = {one.owner for one in self._sightings({"start": address, "photographer": "Ada"}, None)}
        assert owners == {"Ada"}
