"""gRPC predictions, with a client generated from TorchServe's protocol file."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serve.grpc_client import GrpcClient
from tests.serve.support import RunningServer, make_photo

grpc = pytest.importorskip("grpc", reason="the package grpcio-tools is not installed")
pytestmark = pytest.mark.server

PHOTO = make_photo(6)
DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "serve.md"


@pytest.fixture
def client(server: RunningServer, tmp_path: Path) -> Iterator[GrpcClient]:
    with GrpcClient(server, tmp_path) as client:
        yield client


def predict_over_http(server: RunningServer, **options: Any) -> Any:
    return server.post("/predictions/tiny", files={"data": PHOTO}, data=options).json()


def test_grpc_response_equals_http_response(server: RunningServer, client: GrpcClient) -> None:
    assert client.predict(data=PHOTO) == predict_over_http(server)
    assert client.predict(data=PHOTO, version="1.0") == predict_over_http(server)


def test_options_are_sent_as_fields(server: RunningServer, client: GrpcClient) -> None:
    document = client.predict(data=PHOTO, top_k=b"1", targets=b"medium", explain=b"true")

    assert document == predict_over_http(server, top_k="1", targets="medium", explain="true")
    assert list(document["predictions"]) == ["medium"]
    assert len(document["explanation"]["patches"]) == 2


def test_concurrent_requests_get_the_same_response(server: RunningServer, client: GrpcClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda _: client.predict(data=PHOTO), range(24)))

    assert documents == [predict_over_http(server)] * 24


@pytest.mark.parametrize("token", ["", "wrong"])
def test_invalid_token_is_refused(client: GrpcClient, token: str) -> None:
    client.token = token

    assert client.error_code(data=PHOTO) == grpc.StatusCode.PERMISSION_DENIED


def test_invalid_photo_gets_an_error_document(client: GrpcClient) -> None:
    assert client.predict(data=b"no image")["error"]["status"] == 415
    assert client.predict(data=b"")["error"]["status"] == 400
    assert client.predict()["error"]["status"] == 400


def test_unknown_model_is_refused(client: GrpcClient) -> None:
    assert client.error_code(model="../tiny", data=PHOTO) == grpc.StatusCode.INTERNAL
    assert client.error_code(version="9.9", data=PHOTO) == grpc.StatusCode.INTERNAL


def test_too_large_request_is_refused(server: RunningServer, client: GrpcClient) -> None:
    limit = server.project.settings.serve.max_request_bytes

    assert client.error_code(data=bytes(limit + 1)) in {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "predictions" in client.predict(data=PHOTO)


def test_documented_program_works(server: RunningServer) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (program,) = (text for text in programs if "import grpc" in text)
    folder = server.project.root / "client"  # inside the project, so that `lightmeter` finds it
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(PHOTO)

    result = subprocess.run(
        [sys.executable, "-c", program.replace("my-run", "tiny")],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == predict_over_http(server)
