"""The state of a server between two commands: strict, and harmless if it is damaged or foreign."""

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightmeter.errors import LightmeterError
from lightmeter.processes import ProcessIdentity
from lightmeter.project import Project
from lightmeter.serve.torchserve.environment import LOGS_VARIABLE, SERVER_VARIABLE, make_temporary, new_token
from lightmeter.serve.torchserve.state import DamagedState, ServedModel, ServerDirectory, ServerState, server_directory
from tests.serve.support import run_in_project
from tests.support import create_project

URL = "http://127.0.0.1:1"
STATE = ServerState(
    framework="torchserve",
    process="host_1~4194305~1",
    token="0" * 32,
    folder="/nonexistent",
    inference="http://[::1]:8080",
    management=URL,
    metrics=URL,
    grpc="127.0.0.1:2",
    temporary="/tmp/none",
    java="java",
    models=(ServedModel("a", "1", "a.mar", ""),),
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = create_project(tmp_path / "project")
    server_directory(project).path.mkdir(parents=True)
    return project


def change(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document | values


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "text": lambda _: "text",
    "list": lambda _: [],
    "nothing": lambda _: None,
    "process as a number": change(process=2),
    "process of the session": change(process="host_1~0~1"),
    "process of everybody": change(process="host_1~-1~1"),
    "first process": change(process="host_1~1~1"),
    "no token": change(token=""),
    "more": change(more=1),
    "foreign management": change(management="http://example.org:80"),
    "relative folder": change(temporary="../x"),
    "model outside": change(models=[{"name": "a", "version": "1", "archive": "../../x", "sha256": ""}]),
    "model of another kind": change(models=["a"]),
    "nan": change(workers=float("nan")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_state_is_said_in_a_sentence_and_removed_by_stop(project: Project, damage: str) -> None:
    directory = server_directory(project)
    directory.write(STATE)
    file = directory.path / "state.json"
    file.write_text(json.dumps(DAMAGES[damage](json.loads(file.read_text()))))

    for args in (["status"], ["start"], ["predict", "a", "x.jpg"]):
        result = run_in_project("serve", *args, project=project)
        assert result.code in {1, 2}
        assert (
            "is damaged; 'lightmeter serve stop'" in result.document["error"]
            or "No archives" in result.document["error"]
        )
    stopped = run_in_project("serve", "stop", project=project)

    assert stopped.code == 0, stopped.error
    assert run_in_project("serve", "status", project=project).document["running"] is False


def test_folder_that_a_foreign_state_names_is_not_removed(project: Project) -> None:
    precious = make_temporary(new_token())  # of another server
    directory = server_directory(project)
    directory.write(replace(STATE, temporary=str(precious)))

    assert run_in_project("serve", "stop", project=project).code == 0
    assert precious.is_dir()
    shutil.rmtree(precious)


def test_copy_of_a_project_does_not_stop_its_server(project: Project, tmp_path: Path) -> None:
    directory, token = server_directory(project), new_token()
    with subprocess.Popen(["sleep", "60"], env={SERVER_VARIABLE: token}) as process:
        running = replace(STATE, process=str(ProcessIdentity.of(process.pid)), token=token, folder=str(directory.path))
        directory.write(running)
        copy = Project(Path(shutil.copytree(project.root, tmp_path / "copy")))

        assert run_in_project("serve", "stop", project=copy).code == 1
        assert process.poll() is None
        assert run_in_project("serve", "list", project=copy).document["servers"][0]["running"] is False
        assert run_in_project("serve", "stop", project=project).document["stopped"] == 1
        process.wait(5)


def test_processes_of_a_damaged_state_are_stopped_by_their_token(project: Project) -> None:
    directory = server_directory(project)
    (directory.path / "state.json").write_text("{")
    environment = {SERVER_VARIABLE: new_token(), LOGS_VARIABLE: str(directory.logs)}
    with (
        subprocess.Popen(["sleep", "60"], env=environment) as own,
        subprocess.Popen(["sleep", "60"], env={SERVER_VARIABLE: new_token(), LOGS_VARIABLE: "/l"}) as other,
    ):
        assert run_in_project("serve", "stop", project=project).document["stopped"] == 1
        own.wait(5)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("name", ["lock", "state.json", "server.pid", "logs"])
def test_links_of_a_foreign_state_are_not_followed(project: Project, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    directory = server_directory(project)
    (directory.path / name).symlink_to(precious)

    for args in (["status"], ["logs"], ["stop"]):
        result = run_in_project("serve", *args, project=project)
        assert (result.code, "is a link" in result.document["error"]) == (2, True)
    assert precious.read_text() == "mine"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: json.dumps({"pid": text}).encode()))
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)

    with suppress(DamagedState):
        ServerDirectory(tmp_path).read()


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    directory = ServerDirectory(tmp_path)
    directory.write(STATE)

    assert directory.read() == STATE


def test_two_commands_at_once_are_refused_in_a_sentence(tmp_path: Path) -> None:
    directory = ServerDirectory(tmp_path)
    with directory.lock(), pytest.raises(LightmeterError, match="Another command"), directory.lock():
        pass
    with directory.lock():
        pass
