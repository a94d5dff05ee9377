"""A crawl that is killed, and a crawl of a server that fails in every way at once."""

import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from lightmeter.testing.sources import photograph
from tests.support import Lightmeter, Response, Site, jpeg

LOOPBACK = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}
QUICK = LOOPBACK | {"LIGHTMETER_INSPECT__DEFERRED": '["faces"]'}
MANY = 3000


@pytest.fixture
def names(site: Site, project: Path) -> list[str]:
    """The paths of 3,000 photographs, which the file ``urls.txt`` of the project lists."""
    names = [f"/{number}.jpg" for number in range(MANY)]
    for number, name in enumerate(names):
        site.add_photo(name, photograph(number))
    (project / "urls.txt").write_text("".join(f"{site.url}{name}\n" for name in names))
    return names


def test_a_killed_run_is_gone_on_with(lightmeter: Lightmeter, site: Site, project: Path, names: list[str]) -> None:
    command = lightmeter.command("harvest", "run", "urls", project / "urls.txt")
    with subprocess.Popen(command, env={**os.environ, **QUICK}, stdout=subprocess.PIPE) as process:
        while sum(site.requests.values()) < MANY * 0.4:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert all(path.name == _sha256(path) for path in _kept(project))
    last_second = {path for moment, path in site.log if moment > killed - 2}
    counts = lightmeter("harvest", "resume", env=QUICK)
    assert (counts["state"], counts["found"], counts["fetched"]) == ("finished", MANY, MANY)
    assert len(_kept(project)) == MANY
    twice = {name for name in names if site.requests[name] > 1}
    assert len(twice - last_second) <= 16 + 2 * (os.cpu_count() or 1)  # what was in hand on a slow machine
    assert max(site.requests[name] for name in names) <= 2


def test_whatever_a_server_does_every_sighting_ends_with_a_reason(
    lightmeter: Lightmeter, site: Site, project: Path
) -> None:
    """Every tenth connection is cut, every seventh photograph too busy at first, every eleventh file not whole."""
    kinds = {f"/{number}.jpg": _kind(number) for number in range(200)}
    for number, (name, kind) in enumerate(kinds.items()):
        site.responses[name] = _answer(kind, jpeg(number))
    (project / "urls.txt").write_text("".join(f"{site.url}{name}\n" for name in kinds))
    counts = lightmeter("harvest", "run", "urls", project / "urls.txt", env=LOOPBACK)
    total = Counter(kinds.values())
    assert (counts["state"], counts["found"], counts["pending"]) == ("finished", 200, 0)
    assert counts["fetched"] == total["sound"] + total["busy"] + total["cut once"]
    reasons = {(one["state"], one["reason"]): one["count"] for one in counts["reasons"]}
    assert reasons == {("failed", "connection cut"): total["always cut"], ("failed", "truncated"): total["not whole"]}
    assert all(site.requests[name] == 2 for name, kind in kinds.items() if kind in {"busy", "cut once"})


def _kind(number: int) -> str:
    if number % 11 == 0:
        return "not whole"
    if number % 10 == 0:
        return "always cut" if number % 50 == 0 else "cut once"
    return "busy" if number % 7 == 0 else "sound"


def _answer(kind: str, data: bytes) -> Response | object:
    whole: Response = (200, {"Content-Type": "image/jpeg"}, data)
    cut: Response = (200, {"Content-Type": "image/jpeg", "Content-Length": str(len(data))}, data[:2000])
    busy: Response = (429, {"Retry-After": "1"}, b"")
    answers = {
        "always cut": lambda _: cut,
        "cut once": lambda times: whole if times else cut,
        "busy": lambda times: whole if times else busy,
        "not whole": (200, {"Content-Type": "image/jpeg"}, data[: len(data) // 2]),
    }
    return answers.get(kind, whole)


def _kept(project: Path) -> list[Path]:
    return [path for path in (project / "store").rglob("*") if path.is_file()]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
