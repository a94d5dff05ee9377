"""End-to-end runs: a killed crawl is resumed, and a failing server leaves a reason for every photograph."""

import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lightmeter.testing import photograph
from tests.support import LOOPBACK, CommandRunner, HttpResponse, Site, jpeg

FAST = LOOPBACK | {"LIGHTMETER_INSPECT__LATER": '["faces"]'}
PHOTOS = 100


@pytest.fixture
def names(site: Site, project: Path) -> list[str]:
    """The paths of the photographs, which are listed in the project's file ``urls.txt``."""
    names = [f"/{number}.jpg" for number in range(PHOTOS)]
    for number, name in enumerate(names):
        site.add_photo(name, photograph(number))
    (project / "urls.txt").write_text("".join(f"{site.url}{name}\n" for name in names))
    return names


def test_killed_run_is_resumed(lightmeter: CommandRunner, site: Site, project: Path, names: list[str]) -> None:
    command = lightmeter.command("harvest", "run", "urls", project / "urls.txt")
    with subprocess.Popen(command, env=os.environ | FAST, stdout=subprocess.PIPE) as process:
        while sum(site.requests.values()) < PHOTOS * 0.6:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert all(path.name == sha256(path) for path in stored_files(project))
    last_seconds = {path for moment, path in site.log if moment > killed - 2}
    counts = lightmeter("harvest", "resume", env=FAST)
    assert (counts["state"], counts["found"], counts["fetched"]) == ("finished", PHOTOS, PHOTOS)
    assert len(stored_files(project)) == PHOTOS
    repeated = {name for name in names if site.requests[name] > 1}
    assert len(repeated - last_seconds) <= 16 + 2 * (os.cpu_count() or 1)  # in flight on a slow machine
    assert max(site.requests[name] for name in names) <= 2


def test_every_sighting_ends_with_a_reason(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    """Every tenth connection is cut, every seventh photograph is busy at first, every eleventh file is truncated."""
    kinds = {f"/{number}.jpg": response_kind(number) for number in range(110)}
    for number, (name, kind) in enumerate(kinds.items()):
        site.responses[name] = response_of(kind, jpeg(number))
    (project / "urls.txt").write_text("".join(f"{site.url}{name}\n" for name in kinds))
    counts = lightmeter("harvest", "run", "urls", project / "urls.txt", env=FAST)
    total = Counter(kinds.values())
    assert (counts["state"], counts["found"], counts["pending"]) == ("finished", len(kinds), 0)
    assert counts["fetched"] == total["complete"] + total["busy"] + total["cut once"]
    reasons = {(row["state"], row["reason"]): row["count"] for row in counts["reasons"]}
    assert reasons == {("failed", "connection lost"): total["always cut"], ("failed", "truncated"): total["truncated"]}
    assert all(site.requests[name] == 2 for name, kind in kinds.items() if kind in {"busy", "cut once"})


def response_kind(number: int) -> str:
    if number % 11 == 0:
        return "truncated"
    if number % 10 == 0:
        return "always cut" if number % 50 == 0 else "cut once"
    return "busy" if number % 7 == 0 else "complete"


def response_of(kind: str, data: bytes) -> HttpResponse | Callable[[int], HttpResponse]:
    complete = HttpResponse(data, headers={"Content-Type": "image/jpeg"})
    cut = HttpResponse(data[:2000], headers={"Content-Type": "image/jpeg"}, content_length=len(data))
    busy = HttpResponse(b"", 429, {"Retry-After": "1"})
    responses: dict[str, HttpResponse | Callable[[int], HttpResponse]] = {
        "always cut": lambda _: cut,
        "cut once": lambda count: complete if count else cut,
        "busy": lambda count: complete if count else busy,
        "truncated": HttpResponse(data[: len(data) // 2], headers={"Content-Type": "image/jpeg"}),
    }
    return responses.get(kind, complete)


def stored_files(project: Path) -> list[Path]:
    """Return the files of the store, without those that a worker is writing."""
    return list((project / "store").glob("[0-9a-f][0-9a-f]/*"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
