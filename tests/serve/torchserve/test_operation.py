"""A server in operation: expired tokens, killed workers, logs, memory."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lightmeter.serve.torchserve.state import server_directory
from tests.serve.support import OCTET_STREAM, RunningServer
from tests.serve.torchserve.load import PHOTO, constant_load
from tests.support import CommandResult, wait_until

pytestmark = pytest.mark.server

Command = Callable[..., CommandResult]


def test_logs_show_messages_and_requests(server: RunningServer, command: Command) -> None:
    server.post("/predictions/tiny", content=PHOTO, headers=OCTET_STREAM)
    lines = command("serve", "logs", "-n", 5).document["lines"]
    requests = command("serve", "logs", "--access").document["lines"]

    assert len(lines) == 5
    assert not any("[METRICS]" in line for line in lines)
    assert any("/predictions/tiny" in line for line in requests)
    assert all("HTTP/" in line for line in requests)
    assert command("serve", "logs", "--server", "never").code == 2


def test_json_logs_have_the_identifiers_of_requests(fusion_server: RunningServer, command: Command) -> None:
    for _ in range(2):
        headers = OCTET_STREAM | {"X-Request-ID": "refused-1"}
        assert fusion_server.post("/predictions/fusion", content=b"no photo", headers=headers).status_code == 415
    logs = server_directory(fusion_server.project, fusion_server.name).logs

    def records(name: str) -> list[dict[str, Any]]:
        lines = (logs / name).read_text().splitlines()
        documents = [json.loads(line) for line in lines if name != "console.log" or line.startswith("{")]  # Java's own
        return [document for document in documents if document.get("request_id") == "refused-1"]

    wait_until(lambda: len(records("model_log.log")) == 2)
    assert records("model_log.log")[0]["message"].startswith("request_id=refused-1 status=415 The file is not")
    wait_until(lambda: len(records("console.log")) == 2)
    assert records("console.log")[0]["path"] == "/predictions/fusion"
    assert all(json.loads(line) for line in (logs / "ts_log.log").read_text().splitlines())
    lines = command("serve", "logs", "--server", fusion_server.name, "-n", 3).document["lines"]
    assert all(json.loads(line)["message"] for line in lines)


def test_killed_worker_is_replaced_while_clients_and_the_predict_command_go_on(
    server: RunningServer, command: Command, photo: Path
) -> None:
    expected = server.post("/predictions/tiny", content=PHOTO, headers=OCTET_STREAM).json()
    pid = server.worker_pid()
    killed: list[float] = []

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)
        killed.append(time.monotonic())

    with constant_load(server) as responses:
        wait_until(lambda: len(responses) > 10)
        timer = threading.Timer(0.3, kill)
        timer.start()
        result = command("serve", "predict", "tiny", *[photo] * 100)
        end = time.monotonic()
        timer.join()
        count = len(responses)
        wait_until(lambda: sum(response.status_code == 200 for response in responses[count:]) > 10, 120)

    assert killed[0] < end
    assert result.code == 0
    assert all(document["predictions"] == result.document[0]["predictions"] for document in result.document)
    assert {response.status_code for response in responses} <= {200, 500, 503, 507}
    assert all(response.json() == expected for response in responses if response.status_code == 200)
    wait_until(lambda: command("serve", "status").document["models"][0]["ready"])
    assert server.worker_pid() != pid


def test_memory_does_not_grow_with_requests(server: RunningServer) -> None:
    """A short soak test; the long one is ``python -m benchmarks.reliability.soak``."""
    bodies = [PHOTO, PHOTO[:3000], PHOTO, b"", PHOTO, b"no image"]
    (java,) = psutil.Process(server.state.pid).children()
    processes = [psutil.Process(server.worker_pid()), java, psutil.Process(server.state.pid)]

    def memory_after(requests: int) -> list[int]:
        for number in range(requests):
            server.post("/predictions/tiny", content=bodies[number % len(bodies)], headers=OCTET_STREAM)
        return [process.memory_info().rss for process in processes]

    before = memory_after(30)
    after = memory_after(90)

    assert after[0] - before[0] < 20_000_000
    assert after[2] - before[2] < 20_000_000
    assert after[1] - before[1] < 200_000_000  # Java's heap grows rarely and in large steps
