"""A small model, and a real TorchServe that serves it to all tests of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightmeter.project import Project
from lightmeter.serve.torchserve import processes
from tests.serve.support import Server, make_fusion, make_photograph, make_run
from tests.support import CommandResult, create_project, run_command


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two runs and the archive of one; for tests that do not change it."""
    project = create_project(tmp_path_factory.mktemp("serve") / "project")
    make_run(project.runs / "tiny", "tiny")
    make_fusion(project.runs / "fusion")
    assert run_command("serve", "archive", "tiny", "--json", project=project.root).code == 0
    return project


@pytest.fixture(scope="session")
def served(place: Project) -> Iterator[Server]:
    """A real TorchServe that serves the project's model."""
    yield from _serving(place, "main")


@pytest.fixture(scope="session")
def fusion(place: Project) -> Iterator[Server]:
    """Another one, beside it, that serves the project's model ``fusion``."""
    archive = place.root / "fusion.mar"
    assert run_command("serve", "archive", "fusion", "--out", archive, "--json", project=place.root).code == 0
    yield from _serving(place, "second", archive)


def _serving(place: Project, name: str, *archives: Path) -> Iterator[Server]:
    said = run_command("serve", "start", *archives, "--server", name, "--json", project=place.root)
    assert said.code == 0, said.error
    server = Server(place, name)
    state = server.state
    yield server
    run_command("serve", "stop", "--server", name, "--json", project=place.root)
    assert processes.processes_of(state) == []


@pytest.fixture
def second(tmp_path: Path) -> Project:
    """Another project, with a model of the same name."""
    project = create_project(tmp_path / "ünïcode $HOME project")
    make_run(project.runs / "tiny", "tiny", seed=1)
    run_command("serve", "archive", "tiny", "--json", project=project.root)
    return project


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph in a file."""
    file = tmp_path / "photograph.jpg"
    file.write_bytes(make_photograph())
    return file


@pytest.fixture
def command(place: Project) -> Callable[..., CommandResult]:
    """Run a command in the project."""
    return lambda *words: run_command(*words, "--json", project=place.root)
