"""Tests of the source ``website`` and of crawling, with a server on loopback."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support import LOOPBACK, CommandRunner, HttpResponse, Site, jpeg, run_error, wait_until


def write_site_file(folder: Path, site: Site) -> Path:
    file = folder / "site.toml"
    file.write_text(
        f'name = "club"\nstart = ["{site.url}/"]\nfollow = ["a.next"]\nlicence = "CC0-1.0"\n'
        '[photograph]\neach = "figure"\nowner = ".by::text"\ntitle = "figcaption::text"\ntags = ".tag::text"\n'
    )
    return file


def figures(*names: str) -> str:
    return "".join(
        f'<figure><img src="/{name}"><figcaption>{name}</figcaption><i class="by">Ada</i>'
        '<b class="tag">fog</b><b class="tag">night</b></figure>'
        for name in names
    )


@pytest.fixture
def club(site: Site, project: Path) -> Path:
    """A site of two pages with three photographs, one missing, one that is not an image and one excluded by robots.txt."""
    site.add_page("/", figures("1.jpg", "2.jpg", "gone.jpg") + '<a class="next" href="/more">more</a>')
    site.add_page("/more", figures("3.jpg", "text.jpg", "private/4.jpg") + '<a class="next" href="/">back</a>')
    site.responses["/robots.txt"] = HttpResponse(
        b"User-agent: *\nDisallow: /private/", headers={"Content-Type": "text/plain"}
    )
    for number in (1, 2, 3):
        site.add_photo(f"/{number}.jpg", jpeg(number))
    site.add_photo("/private/4.jpg", jpeg(4))
    site.add_page("/text.jpg", "<p>not an image</p>")
    return write_site_file(project, site)


def test_site_is_crawled_and_counts_add_up(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    counts = lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert counts["state"] == "finished"
    assert {s: counts[s] for s in ("found", "fetched", "gone", "refused", "failed", "pending")} == {
        "found": 6, "fetched": 3, "gone": 1, "refused": 1, "failed": 1, "pending": 0,
    }  # fmt: skip
    assert site.requests["/private/4.jpg"] == 0
    assert all(agent.startswith("lightmeter/") for agent in site.user_agents)


def test_page_metadata_reaches_catalogue(lightmeter: CommandRunner, club: Path, project: Path) -> None:
    lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    with create_engine(f"sqlite:///{project / 'catalogue.sqlite'}").connect() as connection:
        row = connection.execute(
            text("SELECT source, owner, licence, title, tags, page_url, file FROM sightings WHERE title = '1.jpg'")
        ).one()
    assert row[:5] == ("website:club", "Ada", "CC0-1.0", "1.jpg", '["fog", "night"]')
    assert row.file == "1.jpg"


def test_second_run_downloads_nothing(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    before = site.requests["/1.jpg"]
    lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert (before, site.requests["/1.jpg"]) == (1, 1)


def test_private_addresses_are_refused_by_default(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    result = lightmeter.run("harvest", "run", "website", club)
    assert result.code == 1
    assert "private_addresses" in result.error
    assert not site.requests


def test_failures_are_retried_then_recorded(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    busy = HttpResponse(b"busy", 503)
    site.responses["/2.jpg"] = lambda count: HttpResponse(jpeg(2)) if count else busy
    site.responses["/3.jpg"] = busy
    body = jpeg(1)
    site.responses["/1.jpg"] = HttpResponse(body[:500], content_length=len(body))
    counts = lightmeter("harvest", "run", "website", club, env=LOOPBACK | {"LIGHTMETER_CRAWL__ATTEMPTS": "2"})
    assert (counts["fetched"], counts["failed"]) == (1, 3)
    reasons = {r["reason"] for r in lightmeter("harvest", "status")["total"]["reasons"]}
    assert {"HTTP 503", "connection lost", "not an image"} <= reasons
    site.add_photo("/3.jpg", jpeg(3))
    assert lightmeter("harvest", "retry", "--reason", "HTTP 503", env=LOOPBACK)["fetched"] == 2


def test_retry_after_is_honoured(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    times: list[float] = []

    def busy_at_first(count: int) -> HttpResponse:
        times.append(time.monotonic())
        return HttpResponse(jpeg(1)) if count else HttpResponse(b"", 429, {"Retry-After": "2"})

    site.responses["/1.jpg"] = busy_at_first
    assert lightmeter("harvest", "run", "website", club, env=LOOPBACK)["fetched"] == 3
    assert times[1] - times[0] >= 2


def test_too_long_retry_after_is_a_failure(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    site.responses["/1.jpg"] = HttpResponse(b"", 429, {"Retry-After": "86400"})
    lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert site.requests["/1.jpg"] == 1
    assert "HTTP 429" in {r["reason"] for r in lightmeter("harvest", "status")["total"]["reasons"]}


@pytest.mark.parametrize(
    "header", [{"X-Robots-Tag": "noindex, noai"}, {"X-Robots-Tag": "lightmeter: noimageai"}, {"TDM-Reservation": "1"}]
)
def test_opt_out_is_honoured(
    lightmeter: CommandRunner, site: Site, club: Path, project: Path, header: dict[str, str]
) -> None:
    site.responses["/1.jpg"] = HttpResponse(jpeg(1), headers=header)
    counts = lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert (counts["fetched"], counts["refused"]) == (2, 2)
    assert "opt-out" in {r["reason"] for r in lightmeter("harvest", "status")["total"]["reasons"]}


def test_page_cannot_name_local_files(lightmeter: CommandRunner, site: Site, club: Path, project: Path) -> None:
    secret = project / "secret.jpg"
    secret.write_bytes(jpeg(9))
    site.add_page("/", f'<figure><img src="{secret.as_uri()}"></figure><figure><img src="simulator:1"></figure>')
    counts = lightmeter("harvest", "run", "website", club, code=1, env=LOOPBACK)
    assert (counts["found"], counts["refused"], counts["fetched"]) == (2, 2, 0)


def test_redirects_are_followed(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    site.responses["/1.jpg"] = HttpResponse(b"", 302, {"Location": "/2.jpg"})
    counts = lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert counts["fetched"] == 3


@pytest.mark.parametrize(("licence", "fetched", "refused"), [("CC0-1.0", 3, 1), ("cc zero", 3, 1), ("CC BY 4.0", 0, 6)])
def test_only_allowed_licences_are_fetched(
    lightmeter: CommandRunner, club: Path, licence: str, fetched: int, refused: int
) -> None:
    counts = lightmeter("harvest", "run", "website", club, "--licence", licence, code=0 if fetched else 1, env=LOOPBACK)
    assert (counts["fetched"], counts["refused"]) == (fetched, refused)


def test_redirect_loop_ends(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    site.responses["/1.jpg"] = HttpResponse(b"", 302, {"Location": "/1.jpg?again"})
    site.responses["/1.jpg?again"] = HttpResponse(b"", 302, {"Location": "/1.jpg"})
    lightmeter("harvest", "run", "website", club, env=LOOPBACK)
    assert site.requests["/1.jpg"] < 8
    assert "too many redirects" in {r["reason"] for r in lightmeter("harvest", "status")["total"]["reasons"]}


def test_too_large_file_is_not_stored(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    site.add_photo("/1.jpg", jpeg(1) + bytes(1_000_000))
    lightmeter("harvest", "run", "website", club, env=LOOPBACK | {"LIGHTMETER_CRAWL__MAX_BYTES": "500000"})
    assert ("failed", "too many bytes") in {
        (r["state"], r["reason"]) for r in lightmeter("harvest", "status")["total"]["reasons"]
    }


def test_interrupted_run_is_resumed(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    names = [f"/{number}.jpg" for number in range(200)]
    site.add_page("/", figures(*(name.strip("/") for name in names)))
    for number, name in enumerate(names):
        site.add_photo(name, jpeg(number))
    command = lightmeter.command("harvest", "run", "website", write_site_file(project, site), "--json")
    slow = {"LIGHTMETER_CRAWL__DELAY_S": "0.05", "LIGHTMETER_CRAWL__CONCURRENCY": "2"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={**os.environ, **LOOPBACK, **slow}, stdout=pipe, stderr=pipe) as process:
        while sum(site.requests[name] for name in names) < 10:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"lightmeter harvest resume" in error
    assert lightmeter("harvest", "status")["runs"][0]["state"] == "stopped"
    counts = lightmeter("harvest", "resume", env=LOOPBACK)
    assert (counts["state"], counts["fetched"], counts["pending"]) == ("finished", 200, 0)
    assert {name: site.requests[name] for name in names if site.requests[name] != 1} == {}


def test_interrupted_run_does_not_wait_for_a_silent_server(
    lightmeter: CommandRunner, site: Site, project: Path
) -> None:
    over = threading.Event()

    def silent(_: int) -> HttpResponse:
        over.wait(60)
        return HttpResponse(b"")

    site.add_page("/", figures("1.jpg") + '<a class="next" href="/more">more</a>')
    site.responses |= {"/1.jpg": silent, "/more": silent}
    command = lightmeter.command("harvest", "run", "website", write_site_file(project, site), "--json")
    with subprocess.Popen(command, env={**os.environ, **LOOPBACK}, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: site.requests["/1.jpg"] and site.requests["/more"])
        process.send_signal(signal.SIGINT)
        process.wait(timeout=40)  # without a limit it would be the 60 s of timeout_s
        over.set()
    assert process.returncode == 130
    status = lightmeter("harvest", "status")["total"]
    assert (status["pending"], status["unreadable"]) == (1, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("start = 3", "start"),
        ("not toml", "TOML"),
        ('start = ["http://x.example/"]', "photograph"),
        ('start = ["http://x.example/"]\n[photograph]\neach = "figure["', "figure["),
        ('start = ["http://x.example/"]\ncolour = 1\n[photograph]\neach = "figure"', "colour"),
    ],
)
def test_invalid_site_file_raises_error(project: Path, content: str, message: str) -> None:
    (project / "site.toml").write_text(content)
    assert message in run_error("harvest", "run", "website", "site.toml")
