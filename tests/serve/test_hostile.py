"""Whatever is sent, the answer is a clean 4xx, and the next photograph is answered as if nothing had been."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serve.support import Server, make_photograph

pytestmark = pytest.mark.server

OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _the_worker_lives_on(served: Server) -> Iterator[None]:
    before = served.worker()
    yield
    answer = served.ask("/predictions/tiny", content=make_photograph(), headers=OCTETS)
    assert answer.status_code == 200
    assert served.worker() == before


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", OCTETS, 400),
        (make_photograph()[:2000], OCTETS, 400),
        (b"\xff\xd8\xff" + b"\x00" * 5000, OCTETS, 415),
        (b"no picture", {"Content-Type": "text/plain"}, 415),
        (b"<html>", {"Content-Type": "image/jpeg"}, 415),
        (b'{"image"', JSON, 415),
        (b"[" * 100_000, JSON, 415),
        (b'{"image": "' + b"A" * 1_000_000 + b'"}', JSON, 415),
        (b'{"image": "", "top_k": 1e400}', JSON, 400),
        (b'{"image": null}', JSON, 400),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b"x", {"Content-Type": "multipart/form-data"}, 415),
    ],
    ids=[
        "empty",
        "cut",
        "zeros",
        "text",
        "html",
        "junk JSON",
        "deep JSON",
        "zeros in JSON",
        "infinite top_k",
        "null",
        "form",
        "multipart without boundary",
    ],
)
def test_a_body_that_is_no_photograph(served: Server, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = served.ask("/predictions/tiny", content=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")


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


def test_a_body_that_is_too_large_is_refused(served: Server) -> None:
    limit = served.project.settings.serve.max_request_bytes

    answer = served.ask("/predictions/tiny", content=bytes(limit + 1), headers=OCTETS)

    assert answer.status_code == 413


@pytest.mark.parametrize("key", ["wrong", "-", "x" * 5000, "../key_file.json"])
def test_a_wrong_token_is_refused(served: Server, key: str) -> None:
    answer = served.ask("/predictions/tiny", key=key, content=make_photograph(), headers=OCTETS)

    assert answer.status_code == 400
    assert "predictions" not in answer.json()


@pytest.mark.parametrize("name", ["nope", "..%2f..%2fetc%2fpasswd", "tiny/9.9", "tiny%00", "%F0%9F%93%B7"])
def test_a_model_that_does_not_exist(served: Server, name: str) -> None:
    answer = served.ask(f"/predictions/{name}", content=make_photograph(), headers=OCTETS)

    assert answer.status_code in {400, 404}


def test_models_cannot_be_registered_from_outside(served: Server) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {served.key('management')}"}
    answer = httpx.post(f"{served.state.management}/models?url=tiny.mar", headers=headers, trust_env=False)

    assert answer.status_code == 405


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
