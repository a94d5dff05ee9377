"""Whatever is sent, the answer is a clean 4xx, and the next photograph is answered as if nothing had been."""

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

from tests.serve.support import Server, make_photograph

pytestmark = pytest.mark.server

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "serve.md"
OCTETS = {"Content-Type": "application/octet-stream"}

Ask = Callable[[Server], httpx.Response]


@pytest.fixture(autouse=True)
def _the_worker_lives_on(served: Server) -> Iterator[None]:
    before = served.worker()
    yield
    answer = served.ask("/predictions/tiny", content=make_photograph(), headers=OCTETS)
    assert answer.status_code == 200
    assert served.worker() == before


def form(**parts: bytes) -> dict[str, Any]:
    return {"files": {name: (None, value) for name, value in parts.items()}}


def plain(body: bytes, kind: str = "application/octet-stream") -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": kind}}


def bomb() -> bytes:
    """Return a PNG of some thousand bytes that claims 30,000 × 30,000 pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


PHOTOGRAPH = make_photograph()
ENCODED = base64.b64encode(PHOTOGRAPH).decode()

HOSTILE: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "an empty body, an empty part": (400, [plain(b""), form(data=b"")]),
    "a form without a photograph": (400, [form(a=b"b"), plain(b"a=b", "application/x-www-form-urlencoded")]),
    "a photograph that is cut off": (400, [plain(PHOTOGRAPH[:2000]), form(data=PHOTOGRAPH[:-2000])]),
    "a JPEG's first bytes, then zeros": (415, [plain(b"\xff\xd8\xff" + bytes(5000))]),
    "text, HTML, bytes by chance": (
        415,
        [plain(b"no picture", "text/plain"), plain(b"<html>", "image/jpeg"), plain(random.Random(0).randbytes(50_000))],
    ),
    "JSON that is none": (415, [plain(b'{"image"', "application/json"), plain(b"[" * 100_000, "application/json")]),
    "JSON without a photograph": (400, [{"json": {}}, {"json": []}, {"json": {"image": None}}, {"json": 5}]),
    "base64 that is none": (400, [{"json": {"image": "ÿ"}}, {"json": {"image": "?"}}]),
    "base64 of a megabyte of zeros": (415, [{"json": {"image": "A" * 1_000_000}}]),
    "an option of another type": (
        400,
        [
            {"json": {"image": ENCODED, "top_k": "many"}},
            plain(b'{"image": "", "top_k": 1e400}', "application/json"),
            form(data=PHOTOGRAPH, top_k=b"-1"),
            {"json": {"image": ENCODED, "exif": [1]}},
        ],
    ),
    "an option that does not exist, such as 10,000 patches": (
        400,
        [{"json": {"image": ENCODED, "patches": 10_000}}, form(data=PHOTOGRAPH, patches=b"10000")],
    ),
    "a target that the model does not have": (400, [{"json": {"image": ENCODED, "targets": ["../iso"]}}]),
    "a form without its boundary": (415, [plain(b"x", "multipart/form-data")]),
    "a picture that claims 900 million pixels": (413, [plain(bomb()), form(data=bomb())]),
    "a body larger than `max_request_bytes`": (413, [plain(bytes(50_000_001))]),
    "a picture smaller than the model can use": (422, [plain(make_photograph(0, (20, 20)))]),
}
"""What is sent, by the words of the documentation, with the status that answers it."""


@pytest.mark.parametrize("what", HOSTILE)
def test_a_request_that_cannot_be_answered(served: Server, what: str) -> None:
    status, requests = HOSTILE[what]
    for request in requests:
        answer = served.ask("/predictions/tiny", **request)

        assert answer.status_code == status, answer.text
        if answer.content:  # TorchServe says nothing of a body that is too large
            assert answer.headers["content-type"].startswith("application/json")
            assert answer.json()["error"]["status"] == status


def test_the_documentation_lists_them() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    for what, (status, _) in (HOSTILE | OUTSIDE).items():
        assert f"| {what} | {status} |\n" in text


@pytest.mark.parametrize("part", ["data", "body", "image", "file"])
def test_a_form_is_answered_as_the_plain_body_is(served: Server, part: str) -> None:
    photograph = make_photograph(3)

    plain = served.ask("/predictions/tiny", content=photograph, headers=OCTETS)
    form = served.ask("/predictions/tiny", files={part: ("p.jpg", photograph, "image/jpeg")})

    assert form.status_code == 200
    assert form.json() == plain.json()


def test_in_a_batch_one_bad_photograph_costs_the_others_nothing(served: Server) -> None:
    bodies = [b"bad" if index % 4 == 1 else make_photograph(index) for index in range(32)]
    alone = [served.ask("/predictions/tiny", content=body, headers=OCTETS) for body in bodies]

    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda body: served.ask("/predictions/tiny", content=body, headers=OCTETS), bodies))

    assert [answer.status_code for answer in together] == [415 if index % 4 == 1 else 200 for index in range(32)]
    assert [answer.json() for answer in together] == [answer.json() for answer in alone]


def without_token(server: Server) -> httpx.Response:
    return httpx.post(f"{server.state.inference}/predictions/tiny", content=PHOTOGRAPH, trust_env=False)


def with_token(key: str) -> Ask:
    return lambda server: server.ask("/predictions/tiny", key=key, **plain(PHOTOGRAPH))


def to(path: str) -> Ask:
    return lambda server: server.ask(path, **plain(PHOTOGRAPH))


def managed(method: str, path: str, purpose: str = "management") -> Ask:
    return lambda server: httpx.request(
        method,
        server.state.management + path,
        headers={"Authorization": f"Bearer {server.key(purpose)}"},
        trust_env=False,
    )


OUTSIDE: dict[str, tuple[int, list[Ask]]] = {
    "no token": (400, [without_token]),
    "a wrong token": (400, [with_token(key) for key in ("wrong", "-", "x" * 5000, "../key_file.json")]),
    "the token of inference, for management": (400, [managed("GET", "/models/tiny", "inference")]),
    "a model or a version that does not exist": (404, [to("/predictions/nope"), to("/predictions/tiny/9.9")]),
    "a name like a path": (
        404,
        [to("/predictions/..%2f..%2fetc%2fpasswd"), to("/predictions/%2e%2e/tiny"), to("/predictions/tiny%00")],
    ),
    "a model to register, by name, path or address": (
        405,
        [managed("POST", f"/models?url={url}") for url in ("tiny.mar", "/etc/passwd", "http://127.0.0.1:1/x.mar")],
    ),
    "a model to remove": (405, [managed("DELETE", "/models/tiny/1.0")]),
}
"""What is asked of the server itself, likewise."""


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_the_server_does_not_do(served: Server, what: str) -> None:
    status, requests = OUTSIDE[what]
    for ask in requests:
        answer = ask(served)

        assert answer.status_code == status, answer.text
        assert "predictions" not in answer.json()


@pytest.mark.shared
def test_every_broken_file_of_the_collection(served: Server, shared: Path) -> None:
    files = sorted(path for path in (shared / "broken").rglob("*") if path.is_file() and path.suffix != ".md")

    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda file: served.ask("/predictions/tiny", content=file.read_bytes(), headers=OCTETS), files)
        )

    assert len(answers) > 300
    assert {answer.status_code for answer in answers} <= {200, 400, 413, 415, 422}
    for answer in answers:
        document = json.loads(answer.content)
        assert ("error" in document) == (answer.status_code != 200)
