"""The state of a server between two commands: strict, and harmless if it is damaged or foreign."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightmeter.errors import LightmeterError
from lightmeter.project import Project
from lightmeter.serve.torchserve.state import DamagedState, ServedModel, ServerDirectory, ServerState, server_directory
from tests.serve.support import run_in_project
from tests.support import create_project

URL = "http://127.0.0.1:1"
STATE = ServerState(
    2**22 + 1,
    "http://[::1]:8080",
    URL,
    URL,
    "127.0.0.1:2",
    "/tmp/none",
    "java",
    False,
    (ServedModel("a", "1", "a.mar", ""),),
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
    "pid as text": change(pid="2"),
    "pid of the session": change(pid=0),
    "pid of everybody": change(pid=-1),
    "more": change(more=1),
    "foreign management": change(management="http://example.org:80"),
    "relative folder": change(temporary="../x"),
    "model outside": change(models=[{"name": "a", "version": "1", "archive": "../../x", "sha256": ""}]),
    "model of another kind": change(models=["a"]),
    "nan": change(pid=float("nan")),
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


def test_folder_that_a_foreign_state_names_is_not_removed(project: Project, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    directory = server_directory(project)
    directory.write(ServerState(**{**vars(STATE), "temporary": str(precious)}))

    assert run_in_project("serve", "stop", project=project).code == 0
    assert precious.is_dir()


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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
