"""A web site on loopback, and photographs to put on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmeter.project import Project
from tests.support import Lightmeter, Site, create_project, jpeg


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site on loopback."""
    server = Site()
    yield server
    server.close()


@pytest.fixture(scope="session")
def harvested_once(tmp_path_factory: pytest.TempPathFactory, lightmeter: Lightmeter) -> Path:
    """A folder with ``photographs`` and a ``project`` that has harvested them; copied for each test that asks."""
    home = tmp_path_factory.mktemp("harvested")
    photographs = take_photographs(home / "photographs")
    create_project(home / "project")
    lightmeter("harvest", "run", "folder", photographs, "--project", home / "project")
    return home


@pytest.fixture
def harvested(harvested_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with six sound photographs (and one that is cut), which is the working directory."""
    shutil.copytree(harvested_once / "project", tmp_path / "harvested")
    monkeypatch.chdir(tmp_path / "harvested")
    return Project(tmp_path / "harvested")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two photographers' photographs and some files that are none."""
    return take_photographs(tmp_path / "photographs")


def take_photographs(folder: Path) -> Path:
    """Make that folder."""
    for number in range(6):
        path = folder / ("ansel" if number % 2 else "berenice") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    (folder / "ansel" / "empty.jpg").touch()
    (folder / "ansel" / "cut.jpg").write_bytes(jpeg(7)[:3000])
    (folder / "ansel" / "words.jpg").write_text("no picture at all")
    (folder / "notes.txt").write_text("no photograph either")
    return folder
