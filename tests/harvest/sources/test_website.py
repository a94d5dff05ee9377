"""Tests of the source ``website`` and of crawling, with a server on loopback."""

import os
import signal
import subprocess
import threading
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


def test_site_is_crawled_once(lightmeter: CommandRunner, site: Site, club: Path, project: Path) -> None:
    for expected in ({"found": 6, "fetched": 3, "gone": 1, "refused": 1, "failed": 1, "pending": 0}, {"fetched": 0}):
        counts = lightmeter("harvest", "run", "website", club, "--licence", "cc zero", env=LOOPBACK)
        assert counts["state"] == "finished"
        assert {state: counts[state] for state in expected} == expected
    assert (site.requests["/1.jpg"], site.requests["/private/4.jpg"]) == (1, 0)
    assert all(agent.startswith("lightmeter/") for agent in site.user_agents)
    with create_engine(f"sqlite:///{project / 'catalogue.sqlite'}").connect() as connection:
        row = connection.execute(
            text("SELECT source, owner, licence, title, tags, page_url, file FROM sightings WHERE title = '1.jpg'")
        ).one()
    assert row[:5] == ("website:club", "Ada", "CC0-1.0", "1.jpg", '["fog", "night"]')
    assert row.file == "1.jpg"


def test_other_licences_are_not_fetched(lightmeter: CommandRunner, club: Path) -> None:
    counts = lightmeter("harvest", "run", "website", club, "--licence", "CC BY 4.0", code=1, env=LOOPBACK)
    assert (counts["fetched"], counts["refused"]) == (0, 6)


def test_private_addresses_are_refused_by_default(lightmeter: CommandRunner, site: Site, club: Path) -> None:
    result = lightmeter.run("harvest", "run", "website", club)
    assert result.code == 1
    assert "private_addresses" in result.error
    assert not site.requests


def test_each_kind_of_response_has_a_state(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    """Servers are busy for a while or for ever, cut connections, redirect, opt out and send too much."""
    body, busy = jpeg(1), HttpResponse(b"busy", 503)
    waiting = HttpResponse(b"", 429, {"Retry-After": "2"})
    (project / "secret.jpg").write_bytes(jpeg(9))
    site.responses |= {
        "/late.jpg": lambda count: HttpResponse(jpeg(2)) if count else busy,
        "/busy.jpg": busy,
        "/cut.jpg": HttpResponse(body[:500], content_length=len(body)),
        "/waits.jpg": lambda count: HttpResponse(jpeg(3)) if count else waiting,
        "/tomorrow.jpg": HttpResponse(b"", 429, {"Retry-After": "86400"}),
        "/moved.jpg": HttpResponse(b"", 302, {"Location": "/target.jpg"}),
        "/target.jpg": HttpResponse(jpeg(4)),
        "/loop.jpg": HttpResponse(b"", 302, {"Location": "/loop.jpg?again"}),
        "/loop.jpg?again": HttpResponse(b"", 302, {"Location": "/loop.jpg"}),
        "/large.jpg": HttpResponse(body + bytes(1_000_000)),
        "/noai.jpg": HttpResponse(jpeg(5), headers={"X-Robots-Tag": "noindex, noai"}),
        "/us.jpg": HttpResponse(jpeg(6), headers={"X-Robots-Tag": "lightmeter: noimageai"}),
        "/tdm.jpg": HttpResponse(jpeg(7), headers={"TDM-Reservation": "1"}),
    }
    expected = {
        "late.jpg": ("fetched", None),
        "busy.jpg": ("failed", "HTTP 503"),
        "cut.jpg": ("failed", "connection lost"),
        "waits.jpg": ("fetched", None),
        "tomorrow.jpg": ("failed", "HTTP 429"),
        "moved.jpg": ("fetched", None),
        "loop.jpg": ("failed", "too many redirects"),
        "large.jpg": ("failed", "too many bytes"),
        "noai.jpg": ("refused", "opt-out"),
        "us.jpg": ("refused", "opt-out"),
        "tdm.jpg": ("refused", "opt-out"),
        "file": ("refused", None),
        "simulator": ("refused", None),
    }
    local = "".join(
        f'<figure><img src="{url}"><figcaption>{url.partition(":")[0]}</figcaption></figure>'
        for url in ((project / "secret.jpg").as_uri(), "simulator:1")
    )
    site.add_page("/", figures(*(name for name in expected if "." in name)) + local)
    club = write_site_file(project, site)
    limits = {"LIGHTMETER_CRAWL__ATTEMPTS": "2", "LIGHTMETER_CRAWL__MAX_BYTES": "500000"}
    lightmeter("harvest", "run", "website", club, env=LOOPBACK | limits)
    with create_engine(f"sqlite:///{project / 'catalogue.sqlite'}").connect() as connection:
        rows = connection.execute(text("SELECT title, state, reason FROM sightings")).all()
    states = {title: (state, reason.partition(":")[0] if reason else None) for title, state, reason in rows}
    for name in ("file", "simulator"):
        assert states[name][1], "a refusal has a reason"
        states[name] = (states[name][0], None)
    assert states == expected
    first, second = (moment for moment, path in site.log if path == "/waits.jpg")
    assert second - first >= 2
    assert site.requests["/tomorrow.jpg"] == 1
    assert site.requests["/loop.jpg"] < 8
    site.add_photo("/busy.jpg", jpeg(8))
    assert lightmeter("harvest", "retry", "--reason", "HTTP 503", env=LOOPBACK)["fetched"] == 4


def test_interrupted_run_is_resumed(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    """After Ctrl-C a run does not wait for silent servers, and what it has fetched is not fetched again."""
    over = threading.Event()

    def silent(_: int) -> HttpResponse:
        over.wait(60)
        return HttpResponse(b"")

    names = [f"/{number}.jpg" for number in range(40)]
    site.add_page(
        "/", figures("silent.jpg", *(name.strip("/") for name in names)) + '<a class="next" href="/more">m</a>'
    )
    for number, name in enumerate(names):
        site.add_photo(name, jpeg(number))
    site.responses |= {"/silent.jpg": silent, "/more": silent}
    command = lightmeter.command("harvest", "run", "website", write_site_file(project, site), "--json")
    slow = {"LIGHTMETER_CRAWL__DELAY_S": "0.05", "LIGHTMETER_CRAWL__CONCURRENCY": "4"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={**os.environ, **LOOPBACK, **slow}, stdout=pipe, stderr=pipe) as process:
        wait_until(lambda: all(site.requests[name] for name in ("/5.jpg", "/silent.jpg")), interval_s=0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=40)  # without a limit it would be the 60 s of timeout_s
    over.set()
    assert process.returncode == 130
    assert b"lightmeter harvest resume" in error
    status = lightmeter("harvest", "status")
    assert status["runs"][0]["state"] == "stopped"
    assert status["total"]["pending"] > 0
    assert status["total"]["unreadable"] == 0
    site.add_photo("/silent.jpg", jpeg(40))
    site.add_page("/more", "")
    counts = lightmeter("harvest", "resume", env=LOOPBACK)
    assert (counts["state"], counts["fetched"], counts["pending"]) == ("finished", 41, 0)
    assert {name: site.requests[name] for name in names if site.requests[name] != 1} == {}


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
