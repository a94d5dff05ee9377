"""A web site on loopback, and photographs to put on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Site, jpeg


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site on loopback."""
    server = Site()
    yield server
    server.close()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two photographers' photographs and some files that are none."""
    folder = tmp_path / "photographs"
    for number in range(6):
        path = folder / ("ansel" if number % 2 else "berenice") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    (folder / "ansel" / "empty.jpg").touch()
    (folder / "ansel" / "cut.jpg").write_bytes(jpeg(7)[:3000])
    (folder / "ansel" / "words.jpg").write_text("no picture at all")
    (folder / "notes.txt").write_text("no photograph either")
    return folder
