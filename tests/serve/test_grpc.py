"""Predictions over TorchServe's gRPC interface, asked by a client made from TorchServe's own protocol file."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lightmeter.serve.torchserve.config import torchserve_folder
from tests.serve.support import Server, make_photograph

grpc = pytest.importorskip("grpc", reason="the package grpcio-tools is not installed")
pytestmark = pytest.mark.server

PHOTOGRAPH = make_photograph(6)
DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "serve.md"


class Client:
    """A program that knows the protocol and has a token."""

    def __init__(self, channel: Any, protocol: tuple[Any, Any], token: str) -> None:
        self._messages, services = protocol
        self._stub = services.InferenceAPIsServiceStub(channel)
        self.token = token

    def ask(self, model: str = "tiny", version: str = "", **parts: bytes) -> Any:
        request = self._messages.PredictionsRequest(model_name=model, model_version=version, input=parts)
        metadata = [("authorization", f"Bearer {self.token}")]
        return json.loads(self._stub.Predictions(request, metadata=metadata, timeout=60).prediction)

    def refused(self, **parts: Any) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            self.ask(**parts)
        return caught.value.code()


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The messages and services that TorchServe's package defines."""
    folder = tmp_path_factory.mktemp("protocol")
    with zipfile.ZipFile(torchserve_folder() / "frontend" / "model-server.jar") as jar:
        for name in ("inference.proto", "google/rpc/status.proto"):
            jar.extract(name, folder)
    sys.path.insert(0, str(folder))
    return grpc.protos_and_services("inference.proto")


@pytest.fixture
def client(served: Server, protocol: tuple[Any, Any]) -> Iterator[Client]:
    with grpc.insecure_channel(served.state.grpc) as channel:
        yield Client(channel, protocol, served.key())


def over_http(served: Server, **options: Any) -> Any:
    return served.ask("/predictions/tiny", files={"data": PHOTOGRAPH}, data=options).json()


def test_an_answer_is_the_one_that_http_gives(served: Server, client: Client) -> None:
    assert client.ask(data=PHOTOGRAPH) == over_http(served)
    assert client.ask(data=PHOTOGRAPH, version="1.0") == over_http(served)


def test_options_are_further_parts(served: Server, client: Client) -> None:
    answer = client.ask(data=PHOTOGRAPH, top_k=b"1", targets=b"medium", explain=b"true")

    assert answer == over_http(served, top_k="1", targets="medium", explain="true")
    assert list(answer["predictions"]) == ["medium"]
    assert len(answer["explanation"]["patches"]) == 2


def test_many_may_ask_at_a_time(served: Server, client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.ask(data=PHOTOGRAPH), range(40)))

    assert all(answer == over_http(served) for answer in answers)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_good_token_nothing_is_answered(client: Client, token: str) -> None:
    client.token = token

    assert client.refused(data=PHOTOGRAPH) == grpc.StatusCode.PERMISSION_DENIED


def test_what_is_no_photograph_is_answered_with_the_reason(client: Client) -> None:
    assert client.ask(data=b"no picture")["error"]["status"] == 415
    assert client.ask(data=b"")["error"]["status"] == 400
    assert client.ask()["error"]["status"] == 400


def test_a_model_that_does_not_exist(client: Client) -> None:
    assert client.refused(model="../tiny", data=PHOTOGRAPH) == grpc.StatusCode.INTERNAL
    assert client.refused(version="9.9", data=PHOTOGRAPH) == grpc.StatusCode.INTERNAL


def test_what_is_too_large_is_refused(served: Server, client: Client) -> None:
    limit = served.project.settings.serve.max_request_bytes

    assert client.refused(data=bytes(limit + 1)) in {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "predictions" in client.ask(data=PHOTOGRAPH)


def test_the_documented_program_works(served: Server) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (program,) = (text for text in programs if "import grpc" in text)
    here = served.project.root / "client"  # in the project, so that `lightmeter` finds it
    here.mkdir()
    (here / "photograph.jpg").write_bytes(PHOTOGRAPH)

    done = subprocess.run(
        [sys.executable, "-c", program.replace("my-run", "tiny")],
        cwd=here,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == over_http(served)
