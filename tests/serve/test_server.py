"""``lightmeter serve start``, ``status``, ``predict`` and ``stop``, with a real TorchServe."""

import os
import signal
import socket
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lightmeter.project import Project
from lightmeter.serve.torchserve import processes
from lightmeter.serve.torchserve.config import Ports, properties
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState, server_directory
from lightmeter.settings import ServeSection
from tests.serve.support import Server, broken, make_photograph
from tests.support import CommandResult, Lightmeter, create_project, run_command

pytestmark = pytest.mark.server


def test_the_served_prediction_is_the_one_made_in_process(
    served: Server, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    files = []
    for seed in range(20):
        files.append(tmp_path / f"{seed}.jpg")
        files[-1].write_bytes(make_photograph(seed, (200 + 31 * seed, 300)))

    there = command("serve", "predict", "tiny", *files)
    here = command("models", "predict", "tiny", *files)

    assert there.code == here.code == 0
    assert there.document == here.document
    assert there.document[0]["model"] == "tiny"
    assert there.document[0]["dataset"] == "ab" * 32


def test_a_bad_file_is_answered_with_its_reason_and_the_others_with_their_readings(
    served: Server, command: Callable[..., CommandResult], photograph: Path, tmp_path: Path
) -> None:
    empty, words = tmp_path / "empty.jpg", tmp_path / "words.jpg"
    empty.touch()
    words.write_text("no picture")

    said = command("serve", "predict", "tiny", empty, photograph, words)

    assert said.code == 0
    assert [answer.get("error", {}).get("status") for answer in said.document] == [400, None, 415]
    assert said.document == command("models", "predict", "tiny", empty, photograph, words).document


def test_status_tells_models_addresses_and_java(served: Server, command: Callable[..., CommandResult]) -> None:
    document = command("serve", "status").document

    (model,) = document["models"]
    assert (model["name"], model["version"], model["workers"], model["ready"]) == ("tiny", "1.0", 1, True)
    assert document["addresses"]["inference"].startswith("http://127.0.0.1:")
    assert "java" in document["java"]
    assert model["memory_bytes"] > 50_000_000
    assert model["queue"] == 0


def test_status_tells_how_long_answers_take(
    served: Server, command: Callable[..., CommandResult], photograph: Path
) -> None:
    command("serve", "predict", "tiny", photograph)

    (model,) = command("serve", "status").document["models"]

    assert 0 < model["latency_ms"] < 60_000


def test_everything_listens_on_loopback_alone(served: Server) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(served.state.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_only_photographs_can_be_sent_from_elsewhere_whatever_the_host(tmp_path: Path, host: str) -> None:
    written = properties(ServerDirectory(tmp_path), ServeSection(host=host), Ports(1, 2, 3, 4, 5), [])

    addresses = dict(line.split("=", 1) for line in written.splitlines() if "_address=" in line)
    assert host in addresses.pop("inference_address")
    assert set(addresses) == {
        "management_address",
        "metrics_address",
        "grpc_inference_address",
        "grpc_management_address",
    }
    assert all("127.0.0.1" in address for address in addresses.values())


def test_tokens_are_for_their_owner_alone(served: Server) -> None:
    keys = server_directory(served.project, "main").keys

    assert keys.stat().st_mode & 0o077 == 0
    assert keys.parent.stat().st_mode & 0o077 == 0


def test_a_second_server_of_one_name_is_refused(served: Server, command: Callable[..., CommandResult]) -> None:
    said = command("serve", "start")

    assert said.code == 2
    assert "runs already" in said.document["error"]


def test_a_port_in_use_is_refused(command: Callable[..., CommandResult]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = command("serve", "start", "--port", port, "--server", "other")

    assert said.code == 2
    assert f"port {port}" in said.document["error"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predict", "tinny", "x.jpg"], "Unknown model 'tinny'; did you mean tiny?"),
        (["predict", "tiny", "nowhere.jpg"], "There is no file nowhere.jpg."),
        (["predict", "tiny", "nowhere.jpg", "--version", "9"], "Unknown version of tiny '9'"),
        (["start", "nowhere.mar", "--server", "other"], "There is no archive nowhere.mar"),
        (["start", "--server", "../up"], "'../up' cannot name a server"),
        (["status", "--server", ""], "'' cannot name a server"),
        (["predict", "tiny", __file__, "--exif", "nowhere.json"], "The EXIF file nowhere.json cannot be read"),
    ],
)
def test_wrong_words_are_one_sentence(
    served: Server, command: Callable[..., CommandResult], words: list[str], sentence: str
) -> None:
    said = command("serve", *words)

    assert said.code == 2
    assert said.document["error"].startswith(sentence)


def test_without_a_server_the_commands_say_so(tmp_path: Path, photograph: Path) -> None:
    project = create_project(tmp_path / "project").root

    assert run_command("serve", "status", "--json", project=project).code == 1
    assert run_command("serve", "status", "--json", project=project).document["running"] is False
    for words in (["stop"], ["predict", "tiny", photograph]):
        said = run_command("serve", *words, "--json", project=project)
        assert said.code == 1
        assert "serve start" in said.document["error"]
    assert "serve archive" in run_command("serve", "start", "--json", project=project).document["error"]


def state_of(project: Project) -> ServerState:
    state = server_directory(project, "main").read()
    assert state is not None
    return state


def test_two_projects_serve_side_by_side_and_stop_leaves_nothing(
    served: Server, second: Project, photograph: Path
) -> None:
    assert run_command("serve", "start", "--json", project=second.root).code == 0
    state = state_of(second)

    answers = [
        run_command("serve", "predict", "tiny", photograph, "--json", project=p.root) for p in (served.project, second)
    ]
    here = [
        run_command("models", "predict", "tiny", photograph, "--json", project=p.root) for p in (served.project, second)
    ]
    stopped = run_command("serve", "stop", "--json", project=second.root)

    assert [answer.document for answer in answers] == [answer.document for answer in here]
    assert answers[0].document != answers[1].document
    assert state.grpc != served.state.grpc
    assert stopped.document["stopped"] == 2
    assert processes.processes_of(state) == []
    assert not Path(state.temporary).exists()
    assert run_command("serve", "status", "--json", project=served.project.root).document["running"] is True


def test_nothing_is_left_after_java_was_killed(second: Project) -> None:
    run_command("serve", "start", "--json", project=second.root)
    state = state_of(second)
    os.kill(state.pid, signal.SIGKILL)

    assert run_command("serve", "status", "--json", project=second.root).code == 1
    assert run_command("serve", "stop", "--json", project=second.root).code == 0
    assert processes.processes_of(state) == []


def test_nothing_is_left_of_a_start_that_was_killed(second: Project, lightmeter: Lightmeter) -> None:
    with subprocess.Popen(lightmeter.command("--project", second.root, "serve", "start", "--quiet")) as starting:
        while server_directory(second, "main").read() is None:
            assert starting.poll() is None
        state = state_of(second)
        while not (status := run_command("serve", "status", "--json", project=second.root)).document.get("models"):
            assert "Error:" not in status.error
        starting.kill()

    assert run_command("serve", "stop", "--json", project=second.root).code == 0
    assert processes.processes_of(state) == []


def test_a_broken_model_fails_with_its_own_error(second: Project) -> None:
    said = run_command("serve", "start", broken(second.archives / "tiny.mar"), "--json", project=second.root)

    assert said.code == 1
    assert "BrokenModel" in said.document["error"]
    assert "size mismatch" in said.document["error"]
    assert server_directory(second, "main").read() is None
    assert not [p for p in psutil.process_iter() if str(second.root) in " ".join(_command(p))]


def test_a_python_that_lacks_packages_fails_with_their_name(second: Project, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")

    said = run_command(
        "serve", "start", "--python", tmp_path / "bare" / "bin" / "python", "--json", project=second.root
    )

    assert said.code == 1
    assert "ModuleNotFoundError: No module named 'ts'" in said.document["error"]
    assert server_directory(second, "main").read() is None


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
