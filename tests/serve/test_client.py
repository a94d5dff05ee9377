"""What a client does when a server is busy, a worker dies, or a token is no longer good."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState

READING = {"model": "tiny", "version": "1.0", "dataset": "", "predictions": {}}
Answer = tuple[int, dict[str, Any]]
BUSY = (503, {"code": 503, "type": "ServiceUnavailableException", "message": "Model has no worker to serve"})
DIED = (507, {"code": 507, "type": "InternalServerException", "message": "Worker died."})
GOOD = (200, READING)


class Stub(ThreadingHTTPServer):
    """A server that gives the answers that it was told to give, and counts."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Scripted)
        self.answers, self.asked = answers, 0


class _Scripted(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, document = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
        self.server.asked += 1
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., tuple[Client, Stub]]]:
    """Make a client of a server that gives certain answers."""
    opened: list[tuple[Client, Stub]] = []

    def make(*answers: Answer) -> tuple[Client, Stub]:
        stub = Stub(list(answers))
        threading.Thread(target=stub.serve_forever).start()
        address = f"http://127.0.0.1:{stub.server_port}"
        home = ServerDirectory(tmp_path)
        home.keys.write_text(json.dumps({"inference": {"key": "good"}}))
        state = ServerState(0, address, address, address, "", "", "", model_api=False, models=())
        opened.append((Client(home, state), stub))
        return opened[-1]

    yield make
    for client, stub in opened:
        client.close()
        stub.shutdown()
        stub.server_close()


@pytest.mark.parametrize("before", [[BUSY], [BUSY] * 3, [DIED], [BUSY, DIED], [DIED, BUSY]])
def test_a_busy_server_is_asked_again(scripted: Callable[..., tuple[Client, Stub]], before: list[Answer]) -> None:
    client, stub = scripted(*before, GOOD)

    assert client.predict("tiny", b"photograph") == READING
    assert stub.asked == len(before) + 1


def test_a_photograph_that_kills_workers_is_sent_twice_at_most(scripted: Callable[..., tuple[Client, Stub]]) -> None:
    client, stub = scripted(DIED)

    assert client.predict("tiny", b"photograph") == {"error": {"status": 507, "reason": "Worker died."}}
    assert stub.asked == 2


def test_what_was_refused_is_not_asked_again(scripted: Callable[..., tuple[Client, Stub]]) -> None:
    refusal = {"error": {"status": 415, "reason": "No photograph."}}
    client, stub = scripted((415, refusal))

    assert client.predict("tiny", b"words") == refusal
    assert stub.asked == 1


def test_a_server_that_is_gone_is_one_sentence(scripted: Callable[..., tuple[Client, Stub]]) -> None:
    client, stub = scripted(GOOD)
    stub.shutdown()
    stub.server_close()

    with pytest.raises(LightmeterError, match="does not answer"):
        client.predict("tiny", b"photograph")
