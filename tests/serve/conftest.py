"""A small model, and a real TorchServe that serves it to all tests of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightmeter.project import Project, create
from serve import processes
from tests.serve.support import Said, Server, make_photograph, make_run, say


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one run and its archive; for tests that do not change it."""
    project = create(tmp_path_factory.mktemp("serve") / "project")
    make_run(project.runs / "tiny", "tiny")
    assert say("serve", "archive", "tiny", project=project.root).code == 0
    return project


@pytest.fixture(scope="session")
def served(place: Project) -> Iterator[Server]:
    """A real TorchServe that serves the project's model."""
    said = say("serve", "start", project=place.root)
    assert said.code == 0, said.error
    server = Server(place)
    state = server.state
    yield server
    say("serve", "stop", project=place.root)
    assert processes.belonging(state) == []


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph in a file."""
    file = tmp_path / "photograph.jpg"
    file.write_bytes(make_photograph())
    return file


@pytest.fixture
def command(place: Project) -> Callable[..., Said]:
    """Run a command in the project."""
    return lambda *words: say(*words, project=place.root)
