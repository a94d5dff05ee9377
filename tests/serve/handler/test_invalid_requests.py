"""Invalid and malicious requests get a 4xx response, and the worker keeps running."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.support import HTTP, OCTET_STREAM, RunningServer, make_photo

pytestmark = pytest.mark.server

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "serve.md"

Send = Callable[[RunningServer], httpx.Response]


@pytest.fixture(autouse=True)
def _worker_keeps_running(server: RunningServer) -> Iterator[None]:
    before = server.worker_pid()
    yield
    response = server.post("/predictions/tiny", content=make_photo(), headers=OCTET_STREAM)
    assert response.status_code == 200
    assert server.worker_pid() == before


def form(**fields: bytes) -> dict[str, Any]:
    return {"files": {name: (None, value) for name, value in fields.items()}}


def body(content: bytes, content_type: str = "application/octet-stream") -> dict[str, Any]:
    return {"content": content, "headers": {"Content-Type": content_type}}


def decompression_bomb() -> bytes:
    """Return a PNG of a few thousand bytes that claims 30,000 × 30,000 pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b""))
    content = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + content


PHOTO = make_photo()
ENCODED = base64.b64encode(PHOTO).decode()

INVALID_REQUESTS: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "empty body or form field": (400, [body(b""), form(data=b"")]),
    "form without a photograph": (400, [form(a=b"b"), body(b"a=b", "application/x-www-form-urlencoded")]),
    "truncated photograph": (400, [body(PHOTO[:2000]), form(data=PHOTO[:-2000])]),
    "JPEG header followed by zeros": (415, [body(b"\xff\xd8\xff" + bytes(5000))]),
    "text, HTML or random bytes": (
        415,
        [body(b"no image", "text/plain"), body(b"<html>", "image/jpeg"), body(random.Random(0).randbytes(50_000))],
    ),
    "invalid JSON": (415, [body(b'{"image"', "application/json"), body(b"[" * 100_000, "application/json")]),
    "JSON without a photograph": (400, [{"json": {}}, {"json": []}, {"json": {"image": None}}]),
    "invalid base64": (400, [{"json": {"image": "ÿ"}}, {"json": {"image": "?"}}]),
    "base64 of a megabyte of zeros": (415, [{"json": {"image": "A" * 1_000_000}}]),
    "option of the wrong type": (
        400,
        [
            {"json": {"image": ENCODED, "top_k": 0}},
            {"json": {"image": ENCODED, "top_k": "many"}},
            body(b'{"image": "", "top_k": 1e400}', "application/json"),
            form(data=PHOTO, top_k=b"-1"),
            {"json": {"image": ENCODED, "exif": [1]}},
        ],
    ),
    "unknown option, such as 10,000 patches": (
        400,
        [{"json": {"image": ENCODED, "patches": 10_000}}, form(data=PHOTO, patches=b"10000")],
    ),
    "unknown target": (400, [{"json": {"image": ENCODED, "targets": ["../iso"]}}]),
    "form without a boundary": (415, [body(b"x", "multipart/form-data")]),
    "decompression bomb of 900 million pixels": (413, [body(decompression_bomb()), form(data=decompression_bomb())]),
    "body larger than `max_request_bytes`": (413, [body(bytes(50_000_001))]),
    "photograph smaller than the model supports": (422, [body(make_photo(0, (20, 20)))]),
}
"""Requests by their description in the documentation, with the status of the response."""


@pytest.mark.parametrize("description", INVALID_REQUESTS)
def test_invalid_request_gets_documented_status(server: RunningServer, description: str) -> None:
    status, requests = INVALID_REQUESTS[description]
    for request in requests:
        response = server.post("/predictions/tiny", **request)

        assert response.status_code == status, response.text
        assert response.headers["content-type"].startswith("application/json")
        assert response.json()["error"]["status"] == status
        assert len(response.content) < 500  # no input is sent back


def test_documentation_lists_all_invalid_requests() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    for description, (status, _) in (INVALID_REQUESTS | FORBIDDEN_REQUESTS).items():
        assert f"| {description} | {status} |\n" in text


@pytest.mark.parametrize("field", ["data", "body", "image", "file"])
def test_form_gives_the_same_response_as_a_plain_body(server: RunningServer, field: str) -> None:
    photo = make_photo(3)

    plain = server.post("/predictions/tiny", content=photo, headers=OCTET_STREAM)
    as_form = server.post("/predictions/tiny", files={field: ("p.jpg", photo, "image/jpeg")})

    assert as_form.status_code == 200
    assert as_form.json() == plain.json()


def test_invalid_photos_do_not_affect_the_others_of_a_batch(server: RunningServer) -> None:
    def send(content: bytes) -> httpx.Response:
        return server.post("/predictions/tiny", content=content, headers=OCTET_STREAM)

    contents = [b"bad" if index % 4 == 1 else make_photo(index) for index in range(32)]
    sequential = [send(content) for content in contents]

    with ThreadPoolExecutor(16) as pool:
        batched = list(pool.map(send, contents))

    assert [response.status_code for response in batched] == [415 if index % 4 == 1 else 200 for index in range(32)]
    assert [response.json() for response in batched] == [response.json() for response in sequential]


def without_token(server: RunningServer) -> httpx.Response:
    return HTTP.post(f"{server.state.inference}/predictions/tiny", content=PHOTO)


def with_token(token: str) -> Send:
    return lambda server: server.post("/predictions/tiny", token=token, **body(PHOTO))


def to_path(path: str) -> Send:
    return lambda server: server.post(path, **body(PHOTO))


def to_management(method: str, path: str, token_type: str = "management") -> Send:
    return lambda server: HTTP.request(
        method,
        server.state.management + path,
        headers={"Authorization": f"Bearer {server.token(token_type)}"},
    )


FORBIDDEN_REQUESTS: dict[str, tuple[int, list[Send]]] = {
    "no token": (401, [without_token]),
    "wrong token": (401, [with_token(token) for token in ("wrong", "-", "x" * 5000, "../key_file.json")]),
    "inference token for the management API": (400, [to_management("GET", "/models/tiny", "inference")]),
    "unknown model or version": (404, [to_path("/predictions/unknown"), to_path("/predictions/tiny/9.9")]),
    "model name that contains a path": (
        404,
        [
            to_path("/predictions/..%2f..%2fetc%2fpasswd"),
            to_path("/predictions/%2e%2e/tiny"),
            to_path("/predictions/tiny%00"),
        ],
    ),
    "registering a model, by name, path or URL": (
        405,
        [
            to_management("POST", f"/models?url={url}")
            for url in ("tiny.mar", "/etc/passwd", "http://127.0.0.1:1/x.mar")
        ],
    ),
    "removing a model": (405, [to_management("DELETE", "/models/tiny/1.0")]),
}
"""Requests that TorchServe itself refuses, in the same form."""


@pytest.mark.parametrize("description", FORBIDDEN_REQUESTS)
def test_forbidden_request_gets_documented_status(server: RunningServer, description: str) -> None:
    status, requests = FORBIDDEN_REQUESTS[description]
    for send in requests:
        response = send(server)

        assert response.status_code == status, response.text
        assert "predictions" not in response.json()


@pytest.mark.shared
def test_damaged_files_get_a_response_without_server_error(server: RunningServer, shared: Path) -> None:
    files = sorted(path for path in (shared / "broken").rglob("*") if path.is_file() and path.suffix != ".md")[::8]

    def send(file: Path) -> httpx.Response:
        return server.post("/predictions/tiny", content=file.read_bytes(), headers=OCTET_STREAM)

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(send, files))

    assert len(responses) > 30
    assert {response.status_code for response in responses} <= {200, 400, 413, 415, 422}
    for response in responses:
        document = json.loads(response.content)
        assert ("error" in document) == (response.status_code != 200)
