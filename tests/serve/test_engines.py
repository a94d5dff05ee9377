"""One contract for both engines: the same requests get the same responses from TorchServe and from LitServe."""

import base64
import json
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lightmeter.project import Project
from lightmeter.serve.gateway.logs import FORMAT_VARIABLE
from lightmeter.serve.gateway.tokens import KEY_VARIABLE
from lightmeter.serve.handler.metrics import declared_model_metrics
from lightmeter.web import free_port
from tests.serve.support import Endpoint, RunningServer, TraceCollector, make_photo, requests_in_flight, run_in_project
from tests.support import CommandResult, CommandRunner, wait_until

pytestmark = pytest.mark.server

PHOTO = make_photo(4)
ENCODED = base64.b64encode(PHOTO).decode()
KEY = "a-key-that-never-expires"


@dataclass(frozen=True)
class LitServeEndpoint(Endpoint):
    """A LitServe and the file with its output."""

    log: Path

    def announced(self, name: str) -> str:
        """Return an address or path that the command has printed."""
        line = next(line for line in self.log.read_text().splitlines() if line.startswith(f"{name}: "))
        return line.partition(": ")[2]


@pytest.fixture(scope="module")
def litserve(serve_project: Project, lightmeter: CommandRunner, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A LitServe behind the gateway; at the end it gets requests and SIGTERM at once."""
    pytest.importorskip("litserve", reason="the extra 'litserve' is not installed", exc_type=ImportError)
    port, log = free_port(), tmp_path_factory.mktemp("litserve") / "log"
    command = lightmeter.command("--project", serve_project.root, "serve", "litserve", "tiny.mar", "--port", port)
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, KEY_VARIABLE: KEY, FORMAT_VARIABLE: "json"},
        )
    endpoint = LitServeEndpoint(f"http://127.0.0.1:{port}", KEY, log)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(httpx.HTTPError):
            return endpoint.send("/ping", "GET", headers={"Authorization": ""}).status_code == 200
        return False

    try:
        wait_until(ready, 90)
        yield endpoint
        responses = requests_in_flight(endpoint, process)
        assert process.wait(30) == 0
        assert [response.status_code for response in responses] == [200] * 24
        assert "Traceback" not in log.read_text()
        assert "JFIF" not in log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def torchserve(server: RunningServer) -> Endpoint:
    return Endpoint(server.state.inference, server.token())


@pytest.fixture(params=["torchserve", "litserve"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return request.getfixturevalue(request.param)


def typed(content_type: str, content: bytes = PHOTO) -> dict[str, Any]:
    return {"content": content, "headers": {"Content-Type": content_type}}


DOCUMENT = json.dumps({"image": ENCODED}).encode()
PHOTO_REQUESTS: dict[str, dict[str, Any]] = {
    "JPEG": typed("image/jpeg"),
    "octet stream": typed("application/octet-stream"),
    "curl --data-binary": typed("application/x-www-form-urlencoded"),
    "no content type": {"content": PHOTO},
    "wrong content type": typed("application/json"),
    "multipart without a boundary": typed("multipart/form-data"),
    "form with a file": {"files": {"data": ("p.jpg", PHOTO, "image/jpeg")}},
    "form without a file name": {"files": {"image": (None, PHOTO)}},
    "urlencoded form": {"data": {"image": f"data:image/jpeg;base64,{ENCODED}"}},
    "PUT": {"method": "PUT", "content": PHOTO},
    "JSON": {"json": {"image": ENCODED}},
    "JSON with a charset": typed("application/json; charset=utf-8", DOCUMENT),
    "JSON with a byte order mark": typed("application/json", b"\xef\xbb\xbf" + DOCUMENT),
    "JSON in UTF-16": typed("application/json", DOCUMENT.decode().encode("utf-16")),
    "JSON of an unknown type": typed("text/plain", b"\n " + DOCUMENT),
    "wrapped base64": {"json": {"image": base64.encodebytes(PHOTO).decode()}},
    "base64 for URLs, without padding": {"json": {"image": base64.urlsafe_b64encode(PHOTO).decode().rstrip("=")}},
    "data URL": {"json": {"image": f"data:image/jpeg;charset=x;base64,{ENCODED}"}},
    "data URL as the body": typed("text/plain", f"data:image/jpeg;base64,{ENCODED}".encode()),
}


@pytest.mark.parametrize("name", PHOTO_REQUESTS)
def test_photo_is_predicted_however_it_is_sent(endpoint: Endpoint, name: str, expected: dict[str, Any]) -> None:
    response = endpoint.send(**PHOTO_REQUESTS[name])

    assert response.status_code == 200, response.text
    assert response.json() == expected


@pytest.fixture(scope="module")
def expected(serve_project: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("expected") / "photo.jpg"
    file.write_bytes(PHOTO)
    (document,) = run_in_project("models", "predict", "tiny", file, project=serve_project).document
    return {key: value for key, value in document.items() if key != "file"}


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"image": ENCODED, "top_k": 1, "targets": ["medium"], "explain": True}},
        {"files": {"data": PHOTO}, "data": {"top_k": "1", "targets": "medium", "explain": "true"}},
        {"content": PHOTO, "params": {"top_k": "1", "targets": "medium", "explain": "true"}},
        {"content": PHOTO, "params": {"top_k": "1", "targets": "medium"}, "path": "/explanations/tiny/1.0"},
    ],
    ids=["JSON", "form", "URL", "path"],
)
def test_options_are_sent_with_the_photo_in_any_form(endpoint: Endpoint, request_: dict[str, Any]) -> None:
    document = endpoint.send(**request_).json()

    assert list(document["predictions"]) == ["medium"]
    assert len(document["predictions"]["medium"]["probabilities"]) == 1
    assert len(document["explanation"]["patches"]) == 2


HALF_AN_EMOJI = typed("application/json", b'{"image": "' + ENCODED.encode() + rb'", "targets": ["\ud83d"]}')
INVALID_REQUESTS: dict[str, tuple[int, dict[str, Any]]] = {
    "empty": (400, {"content": b""}),
    "text": (415, typed("text/plain", b"no image")),
    "broken JSON": (415, typed("application/json", b'{"image"')),
    "nested JSON": (415, typed("application/json", b"[" * 100_000)),
    "list": (400, {"json": [{"image": ENCODED}]}),
    "no photo in JSON": (400, {"json": {}}),
    "no base64": (400, {"json": {"image": "?" * 5000}}),
    "half an emoji as a target": (400, HALF_AN_EMOJI),
    "long unknown target": (400, {"json": {"image": ENCODED, "targets": ["\x1b[31m" + "x" * 5000]}}),
    "long unknown option": (400, {"json": {"image": ENCODED, "y" * 5000: 1}}),
    "top_k of 0": (400, {"json": {"image": ENCODED, "top_k": 0}}),
    "top_k of 0 in a form": (400, {"files": {"data": PHOTO}, "data": {"top_k": "0"}}),
    "top_k that is no number": (400, typed("application/json", b'{"image": "AAAA", "top_k": NaN}')),
    "two photos": (400, {"files": [("data", PHOTO), ("data", PHOTO)]}),
    "form without a photo": (400, {"files": {"other": PHOTO}}),
    "damaged form": (400, typed("multipart/form-data; boundary=x", b"no form")),
    "too large": (413, typed("image/jpeg", bytes(50_000_001))),
    "too small photo": (422, {"content": make_photo(0, (20, 20))}),
    "unknown model": (404, {"path": "/predictions/other", "content": PHOTO}),
    "unknown version": (404, {"path": "/predictions/tiny/9", "content": PHOTO}),
    "path as a name": (404, {"path": "/predictions/..%2f..%2fetc%2fpasswd", "content": PHOTO}),
    "other path": (404, {"path": "/models", "method": "GET"}),
    "GET": (405, {"method": "GET"}),
    "wrong token": (401, {"headers": {"Authorization": "Bearer wrong"}, "content": PHOTO}),
    "no token": (401, {"headers": {"Authorization": ""}, "content": PHOTO}),
    "other scheme": (401, {"headers": {"Authorization": f"Basic {KEY}"}, "content": PHOTO}),
}


@pytest.mark.parametrize("name", INVALID_REQUESTS)
def test_invalid_request_gets_an_error_in_the_same_shape(endpoint: Endpoint, name: str) -> None:
    status, request = INVALID_REQUESTS[name]
    response = endpoint.send(**request)

    assert response.status_code == status, response.text
    assert response.json()["error"]["status"] == status
    assert len(response.content) < 500  # no input is sent back
    assert endpoint.send(content=PHOTO).status_code == 200


def test_scheme_of_the_token_is_case_insensitive_and_probes_need_none(endpoint: Endpoint) -> None:
    for scheme in ("bearer", "BEARER", "Bearer  "):
        assert endpoint.send(content=PHOTO, headers={"Authorization": f"{scheme} {endpoint.token}"}).status_code == 200
    for path in ("/ping", "/health"):
        assert endpoint.send(path, "GET", headers={"Authorization": ""}).json() == {"status": "Healthy"}


@pytest.mark.parametrize("host", ["localhost", "::1", "", "203.0.113.7", "127.0.0.1"])
def test_address_is_checked_before_it_is_announced(serve_project: Project, litserve: Endpoint, host: str) -> None:
    port = litserve.url.rpartition(":")[2]  # in use
    result = run_in_project("serve", "litserve", "tiny", "--host", host, "--port", port, project=serve_project)

    assert result.code == 2
    assert list(result.document) == ["error"]
    assert (host or "''") in result.document["error"]


def test_identifier_and_trace_of_a_request_reach_the_model(endpoint: Endpoint, collector: TraceCollector) -> None:
    trace = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-ID": "client-7"}
    assert endpoint.send(content=PHOTO, headers=headers).headers["X-Request-ID"] == "client-7"
    expected = {"POST /predictions", "predict", "decode", "preprocess", "forward", "heads"}
    wait_until(lambda: collector.names(trace) == expected)
    assert len(endpoint.send("/predictions/tiny", "GET").headers["X-Request-ID"]) == 32


def test_litserve_has_the_metrics_and_the_tokens_of_torchserve(litserve: LitServeEndpoint) -> None:
    token = json.loads(Path(litserve.announced("Tokens")).read_text())["inference"]["key"]
    response = litserve.send(content=PHOTO, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    assert litserve.send(content=b"no photograph").status_code == 415
    metrics = httpx.get(litserve.announced("Metrics"), trust_env=False).text
    exported = {
        re.sub("_(bucket|count|sum|created)$", "", name) for name in re.findall(r"^(\w+)\{", metrics, re.MULTILINE)
    }
    declared = {metric["name"] for kind in declared_model_metrics().values() for metric in kind}
    assert declared - {"lightmeter_warnings_total"} <= exported | {"lightmeter_warnings_total"}
    model = 'model_name="tiny",model_version="1.0"'
    assert f'lightmeter_requests_total{{{model},status="415"}}' in _sorted_labels(metrics)
    label = response.json()["predictions"]["medium"]["class"]
    assert f'lightmeter_predictions_total{{class="{label}",{model},target="medium"}}' in _sorted_labels(metrics)


def test_commands_find_a_litserve_of_the_project(
    litserve: LitServeEndpoint, command: Callable[..., CommandResult], photo: Path
) -> None:
    status = command("serve", "status", "--server", "tiny").document
    (model,) = status["models"]
    assert (status["framework"], status["addresses"]["inference"]) == ("litserve", litserve.url)
    assert (model["name"], model["ready"], model["workers"]) == ("tiny", True, 1)
    assert model["memory_bytes"] > 10**7
    assert command("serve", "predict", "tiny", photo, "--server", "tiny").document[0]["model"] == "tiny"
    assert "POST /predictions/tiny 200" in "".join(
        command("serve", "logs", "--server", "tiny", "--access").document["lines"]
    )
    assert "status=415" in "".join(command("serve", "logs", "--server", "tiny").document["lines"])
    for action in ("restart", "rollout"):
        args = ["tiny"] if action == "rollout" else []
        assert "is a LitServe" in command("serve", action, *args, "--server", "tiny").document["error"]
    again = command("serve", "litserve", "tiny", "--port", "0")
    assert (again.code, "'tiny' is already running" in again.document["error"]) == (2, True)


def _sorted_labels(metrics: str) -> str:
    """Return metrics with the labels of each in the order of their names."""
    return re.sub(r"\{(.*)\}", lambda match: f"{{{','.join(sorted(match[1].split(',')))}}}", metrics)


def test_litserve_logs_each_request_as_json(litserve: LitServeEndpoint) -> None:
    litserve.send(content=b"no photograph", headers={"X-Request-ID": "refused-1"})

    def records() -> list[dict[str, Any]]:
        lines = [line for line in litserve.log.read_text().splitlines() if "refused-1" in line]
        return [json.loads(line) for line in lines]

    wait_until(lambda: len(records()) == 2)  # of the gateway and of the handler
    request = next(record for record in records() if "path" in record)
    assert (request["request_id"], request["status"]) == ("refused-1", 415)


def test_triton_client_speaks_to_litserve(litserve: Endpoint) -> None:
    triton = pytest.importorskip("tritonclient.http")
    headers = {"Authorization": f"Bearer {KEY}"}
    expected = litserve.send("/predictions/tiny", **typed("image/jpeg")).json()
    client = triton.InferenceServerClient(litserve.url.removeprefix("http://"), network_timeout=60)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert not client.is_model_ready("other")
    assert client.get_model_metadata("tiny")["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    tensor = triton.InferInput("image", [3], "BYTES")
    tensor.set_data_from_numpy(np.array([PHOTO, b"not an image", PHOTO], dtype=object))
    result = client.infer("tiny", [tensor], headers=headers, request_id="7")
    documents = [json.loads(text) for text in result.as_numpy("predictions")]
    assert documents[0] == documents[2] == expected
    assert documents[1]["error"]["status"] == 415
    assert result.get_response()["id"] == "7"
    with pytest.raises(triton.InferenceServerException, match="valid token"):
        client.infer("tiny", [tensor])
    with pytest.raises(triton.InferenceServerException, match="no model other"):
        client.infer("other", [tensor], headers=headers)
    client.close()
