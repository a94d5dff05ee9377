"""Photographs in a folder, and a project that has harvested them."""

import shutil
from pathlib import Path

import pytest

from lightmeter.project import Project
from tests.support import CommandRunner, create_project, jpeg


@pytest.fixture(scope="session")
def harvested_once(tmp_path_factory: pytest.TempPathFactory, lightmeter: CommandRunner) -> Path:
    """A folder with ``photographs`` and a ``project`` that has harvested them; use `harvested` to change it."""
    home = tmp_path_factory.mktemp("harvested")
    photographs = write_photographs(home / "photographs")
    create_project(home / "project")
    lightmeter("harvest", "run", "folder", photographs, "--project", home / "project")
    return home


@pytest.fixture
def harvested(harvested_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with six readable photographs and a truncated one; it is the working directory."""
    shutil.copytree(harvested_once / "project", tmp_path / "harvested")
    monkeypatch.chdir(tmp_path / "harvested")
    return Project(tmp_path / "harvested")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with the photographs of two photographers and files that are not photographs."""
    return write_photographs(tmp_path / "photographs")


def write_photographs(folder: Path) -> Path:
    """Write the photographs to a folder and return it."""
    for number in range(6):
        path = folder / ("ansel" if number % 2 else "berenice") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    (folder / "ansel" / "empty.jpg").touch()
    (folder / "ansel" / "cut.jpg").write_bytes(jpeg(7)[:3000])
    (folder / "ansel" / "text.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("not a photograph")
    return folder
