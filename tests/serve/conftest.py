"""Small untrained models and a real TorchServe shared by all tests of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightmeter.project import Project
from lightmeter.serve.torchserve import processes
from tests.serve.environments import hostile_environment, make_minimal_python
from tests.serve.support import RunningServer, TraceCollector, make_fusion_run, make_photo, make_run, run_in_project
from tests.support import CommandResult, CommandRunner, create_project


@pytest.fixture(scope="session")
def collector() -> Iterator[TraceCollector]:
    """A collector of traces."""
    collector = TraceCollector()
    yield collector
    collector.close()


@pytest.fixture(scope="session")
def serve_project(tmp_path_factory: pytest.TempPathFactory, collector: TraceCollector) -> Iterator[Project]:
    """A project with the runs ``tiny`` and ``fusion`` and the archive of ``tiny``, whose servers are traced; read-only."""
    project = create_project(tmp_path_factory.mktemp("serve") / "José 写真 $HOME")
    with (project.root / "lightmeter.toml").open("a") as settings:
        settings.write(f'\n[serve]\notlp_endpoint = "{collector.url}"\n')
    project = Project(project.root)
    make_run(project.runs / "tiny", "tiny")
    make_fusion_run(project.runs / "fusion")
    assert run_in_project("serve", "archive", "tiny", project=project).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield project


@pytest.fixture(scope="session")
def server(serve_project: Project) -> Iterator[RunningServer]:
    """A real TorchServe that serves the model ``tiny``."""
    started = run_in_project("serve", "start", "--server", "main", project=serve_project)
    assert started.code == 0, started.error
    yield from _until_stopped(RunningServer(serve_project))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with everything at once that has kept a server from starting."""
    return hostile_environment(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def fusion_server(
    serve_project: Project, lightmeter: CommandRunner, hostile: dict[str, str]
) -> Iterator[RunningServer]:
    """A second server of the same project, with the model ``fusion`` and logs in JSON, started in the hostile environment."""
    archive = serve_project.root / "fusion.mar"
    assert run_in_project("serve", "archive", "fusion", "--out", archive, project=serve_project).code == 0
    started = lightmeter.process(
        *("--project", serve_project.root, "serve", "start", archive, "--server", "second"),
        env=hostile | {"LIGHTMETER_SERVE__LOG_FORMAT": "json"},
    )
    assert started.returncode == 0, started.stderr
    yield from _until_stopped(RunningServer(serve_project, "second"))


@pytest.fixture(scope="session")
def minimal_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the requirements of archives and TorchServe only."""
    return make_minimal_python(tmp_path_factory.mktemp("python"))


def _until_stopped(server: RunningServer) -> Iterator[RunningServer]:
    state = server.state
    yield server
    run_in_project("serve", "stop", "--server", server.name, project=server.project)
    assert processes.processes_of(state.token) == []


@pytest.fixture
def second_project(tmp_path: Path) -> Project:
    """Another project, with an archive of a model of the same name, in version 9.1."""
    project = create_project(tmp_path / "ünïcode $HOME project")
    make_run(project.runs / "tiny", "tiny", seed=1)
    run_in_project("serve", "archive", "tiny", "--version", "9.1", project=project)
    return project


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph in a file."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(make_photo())
    return file


@pytest.fixture
def command(serve_project: Project) -> Callable[..., CommandResult]:
    """Run a command in the project."""
    return lambda *args: run_in_project(*args, project=serve_project)
