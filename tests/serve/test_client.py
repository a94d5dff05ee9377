"""The client: repeated requests and errors."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve import Client
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory
from lightmeter.web import LocalServer, local_app
from tests.serve.support import server_state

PREDICTION = {"model": "tiny", "version": "1.0", "dataset": "", "predictions": {}}
Response = tuple[int, dict[str, Any]]
BUSY = (503, {"code": 503, "type": "ServiceUnavailableException", "message": "Model has no worker to serve"})
DIED = (507, {"code": 507, "type": "InternalServerException", "message": "Worker died."})
OK = (200, PREDICTION)


class ScriptedServer:
    """A server that gives prepared responses, the last one repeatedly, and counts requests."""

    def __init__(self, responses: list[Response]) -> None:
        self.responses, self.requests = responses, 0
        self.app = local_app([Route("/{path:path}", self.respond, methods=["POST"])])

    async def respond(self, _: Request) -> JSONResponse:
        status, document = self.responses[min(self.requests, len(self.responses) - 1)]
        self.requests += 1
        return JSONResponse(document, status)


@pytest.fixture
def scripted_client(tmp_path: Path) -> Iterator[Callable[..., tuple[Client, ScriptedServer]]]:
    """Create a client of a server that gives prepared responses."""
    with ExitStack() as stack:

        def create(*responses: Response) -> tuple[Client, ScriptedServer]:
            server = ScriptedServer(list(responses))
            url = stack.enter_context(LocalServer(server.app)).url
            return stack.enter_context(client_of(tmp_path, url)), server

        yield create


def client_of(folder: Path, url: str) -> Client:
    directory = ServerDirectory(folder)
    directory.keys.write_text(json.dumps({"inference": {"key": "valid"}}))
    return Client(directory, server_state(folder, url, ServedModel("tiny", "1.0", "tiny.mar", "")))


@pytest.mark.parametrize("responses", [[BUSY], [BUSY] * 3, [DIED], [BUSY, DIED], [DIED, BUSY]])
def test_request_is_repeated_while_busy_and_after_worker_died(
    scripted_client: Callable[..., tuple[Client, ScriptedServer]], responses: list[Response]
) -> None:
    client, server = scripted_client(*responses, OK)

    assert client.predict("tiny", b"image") == PREDICTION
    assert server.requests == len(responses) + 1


def test_photo_that_kills_workers_is_sent_twice_at_most(
    scripted_client: Callable[..., tuple[Client, ScriptedServer]],
) -> None:
    client, server = scripted_client(DIED)

    assert client.predict("tiny", b"image") == {"error": {"status": 507, "reason": "Worker died."}}
    assert server.requests == 2


def test_invalid_photo_is_sent_once(scripted_client: Callable[..., tuple[Client, ScriptedServer]]) -> None:
    error = {"error": {"status": 415, "reason": "Not an image."}}
    client, server = scripted_client((415, error))

    assert client.predict("tiny", b"text") == error
    assert server.requests == 1


def test_predict_files_keeps_the_order_of_files(
    scripted_client: Callable[..., tuple[Client, ScriptedServer]], tmp_path: Path
) -> None:
    client, _ = scripted_client(OK)
    files = [tmp_path / f"{index}.jpg" for index in range(5)]
    for file in files:
        file.write_bytes(b"image")

    assert [document["file"] for document in client.predict_files("tiny", files)] == [str(file) for file in files]
    with pytest.raises(UsageError, match=r"missing\.jpg"):
        list(client.predict_files("tiny", [tmp_path / "missing.jpg"]))


def test_unreachable_server_raises_error(tmp_path: Path) -> None:
    with LocalServer(local_app([])) as server:
        url = server.url

    with client_of(tmp_path, url) as client, pytest.raises(LightmeterError, match="does not respond"):
        client.predict("tiny", b"image")


def test_client_and_its_command_need_no_torch() -> None:
    code = "import sys, lightmeter.models.evaluation.predict, lightmeter.serve.client; print('torch' in sys.modules)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout == "False\n"
