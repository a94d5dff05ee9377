"""``lightmeter serve rollout``: replace a served version without downtime; what a killed server leaves is stopped."""

import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import Project
from lightmeter.serve.torchserve import processes, rollout
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory
from lightmeter.settings import ServeSection
from tests.serve.support import OCTET_STREAM, RunningServer, break_archive, make_run, run_in_project, server_state
from tests.serve.torchserve.load import PHOTO, constant_load
from tests.support import CommandRunner, create_project, wait_until

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def extensible_server(
    tmp_path_factory: pytest.TempPathFactory, minimal_python: Path, lightmeter: CommandRunner
) -> Iterator[RunningServer]:
    """A server that accepts new models, whose workers run in a Python without Lightmeter; ``serve start`` was killed."""
    project = create_project(tmp_path_factory.mktemp("rollout") / "project")
    make_run(project.runs / "tiny", "tiny")
    make_run(project.runs / "next", "tiny", seed=1)
    run_in_project("serve", "archive", "tiny", project=project)

    def models() -> list[Any]:
        assert start.poll() in {None, -signal.SIGKILL}
        status = run_in_project("serve", "status", project=project)
        assert "Error:" not in status.error
        return status.document.get("models", [])

    options = ("--model-api", "--python", minimal_python, "--quiet")
    with subprocess.Popen(lightmeter.command("--project", project.root, "serve", "start", *options)) as start:
        wait_until(models)
        start.kill()
    wait_until(lambda: models()[0]["ready"])
    yield RunningServer(project)
    run_in_project("serve", "stop", project=project)


def archive_version(project: Project, version: str, run: str = "next") -> Path:
    out = project.root / f"{version}.mar"
    run_in_project("serve", "archive", run, "--version", version, "--out", out, project=project)
    return out


def test_served_prediction_in_minimal_python_equals_prediction_in_process(
    extensible_server: RunningServer, photo: Path
) -> None:
    served, in_process = (
        run_in_project(layer, "predict", "tiny", photo, project=extensible_server.project)
        for layer in ("serve", "models")
    )

    assert served.code == 0
    assert served.document == in_process.document


def test_rollout_fails_no_request_and_keeps_the_version_if_the_next_does_not_load(
    extensible_server: RunningServer,
) -> None:
    def active_version() -> str:
        return responses[-1].json()["version"] if responses else ""

    project = extensible_server.project
    broken = break_archive(archive_version(project, "2.0"))
    failed = run_in_project("serve", "rollout", broken, project=project)
    assert failed.code == 1
    assert "parameters, the weights" in failed.document["error"]
    unchanged = run_in_project("serve", "status", project=project).document["models"]
    assert [(model["version"], model["ready"]) for model in unchanged] == [("1.0", True)]

    broken.unlink()
    second, third = archive_version(project, "2.0"), archive_version(project, "3.0")
    large = io.BytesIO()
    Image.new("RGB", (4000, 3000), (90, 120, 30)).save(large, "JPEG")  # takes a worker a while
    with constant_load(extensible_server, large.getvalue()) as responses:
        wait_until(lambda: active_version() == "1.0")
        replaced = run_in_project("serve", "rollout", second, project=project)
        wait_until(lambda: active_version() == "2.0")
    added = run_in_project("serve", "rollout", third, "--keep", project=project)

    assert {response.status_code for response in responses} == {200}
    assert {response.json()["version"] for response in responses} == {"1.0", "2.0"}
    assert [model["version"] for model in replaced.document["models"]] == ["2.0"]
    assert sorted(model["version"] for model in added.document["models"]) == ["2.0", "3.0"]
    for path, version in (("", "3.0"), ("/2.0", "2.0")):
        response = extensible_server.post(f"/predictions/tiny{path}", content=PHOTO, headers=OCTET_STREAM)
        assert response.json()["version"] == version
    repeated = run_in_project("serve", "rollout", third, project=project)
    assert "is already served" in repeated.document["error"]


def test_stop_terminates_workers_after_everything_else_was_killed(extensible_server: RunningServer) -> None:
    project, state = extensible_server.project, extensible_server.state
    (java,) = psutil.Process(state.pid).children()
    os.kill(state.pid, signal.SIGKILL)
    java.kill()

    assert processes.processes_of(state.token)
    assert run_in_project("serve", "status", project=project).code == 1
    assert run_in_project("serve", "stop", project=project).code == 0
    assert processes.processes_of(state.token) == []


class UnavailableClient:
    """A client whose requests fail from a step on."""

    def __init__(self, failing: str) -> None:
        self.failing, self.calls = failing, list[str]()

    def __call__(self, *_: object) -> "UnavailableClient":
        return self

    __enter__ = __call__

    def __exit__(self, *_: object) -> None:
        return

    def __getattr__(self, name: str) -> Callable[..., dict[Any, Any]]:
        def call(*_: object) -> dict[Any, Any]:
            self.calls.append(name)
            if name == self.failing:
                raise LightmeterError("timeout")
            return {}

        return call


@pytest.mark.parametrize(
    ("failing", "served"),
    [("register", ["1.0"]), ("set_default", ["1.0", "2.0"]), ("unregister", ["1.0", "2.0"]), ("none", ["2.0"])],
)
def test_state_names_what_is_served_whatever_step_fails(
    serve_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, served: list[str]
) -> None:
    url = "http://127.0.0.1:1"
    old = ServedModel("tiny", "1.0", "tiny-1.0.mar", "")
    directory = ServerDirectory(tmp_path / "main")
    directory.archives.mkdir(parents=True)
    directory.write(server_state(directory.path, url, old, model_api=True))
    client = UnavailableClient(failing)
    monkeypatch.setattr(rollout, "Client", client)
    monkeypatch.setattr(rollout, "running_state", lambda _: directory.read())
    monkeypatch.setattr(rollout, "_OBSERVATION_S", 0)
    archive = archive_version(serve_project, "2.0", run="tiny")

    with suppress(LightmeterError):
        rollout.rollout(directory, ServeSection(), archive)

    after = directory.read()
    assert after
    assert [model.version for model in after.models] == served
    archives = {model.archive for model in after.models} - {old.archive}
    assert {path.name for path in directory.archives.iterdir()} == archives
    if "2.0" in served:
        with pytest.raises(UsageError, match="already served"):
            rollout.rollout(directory, ServeSection(), archive)
        assert {path.name for path in directory.archives.iterdir()} == archives


def test_server_without_model_api_refuses_rollout(server: RunningServer) -> None:
    result = run_in_project("serve", "rollout", server.project.archives / "tiny.mar", project=server.project)

    assert result.code == 2
    assert "--model-api" in result.document["error"]
