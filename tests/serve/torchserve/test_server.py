"""``lightmeter serve start``, ``status``, ``predict`` and ``stop``, with a real TorchServe."""

import socket
import venv
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lightmeter.project import Project
from lightmeter.serve.torchserve.config import Ports, addresses, write_configuration
from lightmeter.serve.torchserve.state import ServerDirectory, server_directory
from lightmeter.settings import ServeSection
from tests.serve.support import RunningServer, make_photo, run_in_project
from tests.support import CommandResult, create_project

pytestmark = pytest.mark.server

Command = Callable[..., CommandResult]


def test_served_predictions_equal_predictions_in_process(
    server: RunningServer, command: Command, tmp_path: Path
) -> None:
    files = [tmp_path / f"{seed}.jpg" for seed in range(20)]
    for seed, file in enumerate(files):
        file.write_bytes(make_photo(seed, (200 + 31 * seed, 300)))

    served = command("serve", "predict", "tiny", *files)
    in_process = command("models", "predict", "tiny", *files)

    assert served.code == in_process.code == 0
    assert served.document == in_process.document
    assert served.document[0]["model"] == "tiny"
    assert served.document[0]["dataset"] == "ab" * 32


def test_invalid_files_do_not_affect_the_others(
    server: RunningServer, command: Command, photo: Path, tmp_path: Path
) -> None:
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.touch()
    text.write_text("no image")

    result = command("serve", "predict", "tiny", empty, photo, text)

    assert result.code == 0
    assert [document.get("error", {}).get("status") for document in result.document] == [400, None, 415]
    assert result.document == command("models", "predict", "tiny", empty, photo, text).document


def test_status_contains_models_addresses_and_java(server: RunningServer, command: Command) -> None:
    document = command("serve", "status").document

    (model,) = document["models"]
    assert (model["name"], model["version"], model["workers"], model["ready"]) == ("tiny", "1.0", 1, True)
    assert document["addresses"]["inference"].startswith("http://127.0.0.1:")
    assert "java" in document["java"]
    assert model["memory_bytes"] > 50_000_000
    assert model["queue"] == 0


def test_status_contains_mean_latency(server: RunningServer, command: Command, photo: Path) -> None:
    command("serve", "predict", "tiny", photo)

    (model,) = command("serve", "status").document["models"]

    assert 0 < model["latency_ms"] < 60_000


def test_server_listens_on_loopback_only(server: RunningServer) -> None:
    gateway = psutil.Process(server.state.pid)
    listening = {
        connection.laddr.ip
        for process in (gateway, *gateway.children())
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def configuration(directory: ServerDirectory, settings: ServeSection) -> str:
    urls = addresses(settings.host, 1, Ports(2, 3, 4, 5))
    write_configuration(directory, settings, urls["inference"], Ports(2, 3, 4, 5), [], model_api=False)
    return directory.configuration.read_text()


def test_configuration_escapes_special_characters(tmp_path: Path) -> None:
    text = configuration(ServerDirectory(tmp_path / "é\\😀"), ServeSection())

    assert r"\u00e9\\\ud83d\ude00/archives" in text


def test_tokens_are_readable_by_their_owner_only(server: RunningServer) -> None:
    keys = server_directory(server.project).keys

    assert keys.stat().st_mode & 0o077 == 0
    assert keys.parent.stat().st_mode & 0o077 == 0


def test_second_server_of_the_same_name_is_refused(server: RunningServer, command: Command) -> None:
    result = command("serve", "start")

    assert result.code == 2
    assert "already running" in result.document["error"]


def test_port_in_use_is_refused(command: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = command("serve", "start", "--port", port, "--server", "other")

    assert result.code == 2
    assert f"port {port}" in result.document["error"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["predict", "tinny", "x.jpg"], "did you mean tiny?"),
        (["predict", "tiny", "nowhere.jpg"], "File nowhere.jpg not found."),
        (["predict", "tiny", "nowhere.jpg", "--version", "9"], "version of tiny '9'"),
        (["start", "nowhere.mar", "--server", "other"], "Unknown archive 'nowhere.mar'"),
        (["start", "--server", "../up"], "Invalid server name '../up'"),
        (["status", "--server", ""], "Invalid server name ''"),
        (["predict", "tiny", __file__, "--exif", "nowhere.json"], "nowhere.json"),
    ],
)
def test_invalid_arguments_raise_usage_error(
    server: RunningServer, command: Command, args: list[str], message: str
) -> None:
    result = command("serve", *args)

    assert result.code == 2
    assert message in result.document["error"]


def test_commands_report_that_no_server_is_running(tmp_path: Path, photo: Path) -> None:
    project = create_project(tmp_path / "project")

    assert run_in_project("serve", "status", project=project).code == 1
    assert run_in_project("serve", "status", project=project).document["running"] is False
    for args in (["stop"], ["predict", "tiny", photo]):
        result = run_in_project("serve", *args, project=project)
        assert result.code == 1
        assert "serve start" in result.document["error"]
    assert "serve archive" in run_in_project("serve", "start", project=project).document["error"]


def test_error_of_a_worker_that_does_not_start_is_reported(second_project: Project, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    python = tmp_path / "bare" / "bin" / "python"

    result = run_in_project("serve", "start", "--python", python, project=second_project)

    assert result.code == 1
    assert "ModuleNotFoundError: No module named 'ts'" in result.document["error"]
    assert server_directory(second_project).read() is None
    assert not [p for p in psutil.process_iter() if str(second_project.root) in " ".join(command_line(p))]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
