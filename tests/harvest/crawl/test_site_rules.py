"""The requests for robots.txt and tdmrep.json, with a made-up site in place of the downloader."""

import asyncio
import re

import pytest
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response

from lightmeter.harvest.crawl.addresses import PrivateAddress
from lightmeter.harvest.crawl.reasons import DownloadError
from lightmeter.harvest.crawl.sites.site_rules import SiteRules, SiteRulesCache, SiteRulesOptions, origin_of

SITE = "https://example.org"
PHOTO = f"{SITE}/photos/1.jpg"
OPTIONS = SiteRulesOptions(attempts=3, max_pause_s=600, max_bytes=512_000)
DISALLOW = b"User-agent: *\nDisallow: /photos/"
RESERVED = b'[{"location": "/photos/", "tdm-reservation": 1}]'

Answer = Response | Exception


class MadeUpSite:
    """Answers requests by path; a list of answers is used up, its last one stays."""

    def __init__(self, robots: Answer | list[Answer], tdm: Answer) -> None:
        self.answers = {
            "/robots.txt": robots if isinstance(robots, list) else [robots],
            "/.well-known/tdmrep.json": [tdm],
        }
        self.requested: list[str] = []

    async def download(self, request: Request) -> Response:
        path = request.url.removeprefix(SITE)
        self.requested.append(path)
        answers = self.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between attempts; nothing waits in the tests."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(SITE, status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def rules_of(robots: Answer | list[Answer], tdm: Answer | None = None) -> tuple[SiteRules, list[str]]:
    site = MadeUpSite(robots, answer(404) if tdm is None else tdm)

    async def request() -> SiteRules:
        return await SiteRulesCache(site.download, OPTIONS).get(SITE)

    return asyncio.run(request()), site.requested


def refusal(robots: Answer | list[Answer], tdm: Answer | None = None) -> str | None:
    rules, _ = rules_of(robots, tdm)
    try:
        rules.check(PHOTO)
    except IgnoreRequest as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("status", [200, 203, 206])
def test_rules_are_those_of_a_successful_answer(status: int) -> None:
    assert refusal(answer(status, DISALLOW)) == "robots.txt"
    assert refusal(answer(status, b"")) is None


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 410, 429, 451])
def test_site_without_robots_txt_allows_everything(pauses: list[float], status: int) -> None:
    assert refusal(answer(status, DISALLOW)) is None


def test_too_many_redirects_are_as_no_robots_txt() -> None:
    assert refusal(IgnoreRequest("max redirections reached")) is None


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        (answer(500), "HTTP 500"),
        (answer(503, Retry_After="5"), "HTTP 503"),
        (answer(599), "HTTP 599"),
        (DownloadTimeoutError(), "timed out"),
        (ConnectionResetError(), "connection lost"),
        (DownloadError("too many bytes"), "too many bytes"),
        (ArithmeticError(), "unexpected error"),
    ],
)
def test_unreachable_robots_txt_disallows_everything(pauses: list[float], answered: Answer, reason: str) -> None:
    assert refusal(answered) == f"robots.txt unreachable: {reason}"
    assert len(pauses) == (0 if isinstance(answered, IgnoreRequest) else OPTIONS.attempts - 1)


def test_busy_site_is_asked_again_when_it_says(pauses: list[float]) -> None:
    assert refusal([answer(503, Retry_After="7"), DownloadTimeoutError(), answer(200, DISALLOW)]) == "robots.txt"
    assert pauses == [7, 2]
    assert refusal(answer(503, Retry_After="86400")) == "robots.txt unreachable: HTTP 503"
    assert pauses == [7, 2]


@pytest.mark.parametrize("error", [CannotResolveHostError("no such host"), PrivateAddress()])
def test_host_that_cannot_be_requested_is_the_error_of_its_photographs(error: Exception) -> None:
    rules, requested = rules_of(error)
    for _ in range(2):
        with pytest.raises(type(error), match=re.escape(str(error))):
            rules.check(PHOTO)
    assert requested == ["/robots.txt"]


def test_reservation_is_an_opt_out() -> None:
    assert refusal(answer(404), answer(200, RESERVED)) == "opt-out: tdmrep.json"
    assert refusal(answer(200, DISALLOW), answer(200, RESERVED)) == "robots.txt"
    assert refusal(answer(404), answer(500, RESERVED)) is None
    assert refusal(answer(404), DownloadTimeoutError()) is None


def test_tdmrep_json_is_not_requested_where_robots_txt_disallows_it() -> None:
    assert rules_of(answer(200, b"User-agent: *\nDisallow: /"))[1] == ["/robots.txt"]


def test_crawl_delay_longer_than_the_settings_allow_refuses_the_site() -> None:
    assert rules_of(answer(200, b"User-agent: *\nCrawl-delay: 600"))[0].robots.crawl_delay == 600
    assert refusal(answer(200, b"User-agent: *\nCrawl-delay: 601")) == "robots.txt: Crawl-delay of 601 s"


@pytest.mark.parametrize(("status", "age_s"), [(404, 24 * 3600), (500, 300)])
def test_rules_are_requested_once_until_they_are_old(pauses: list[float], status: int, age_s: float) -> None:
    site, now = MadeUpSite(answer(status), answer(404)), [0.0]

    async def request_all() -> None:
        cache = SiteRulesCache(site.download, SiteRulesOptions(1, 600, 512_000), lambda: now[0])
        await asyncio.gather(*(cache.get(SITE) for _ in range(100)))
        now[0] = age_s
        await cache.get(SITE)
        assert site.requested.count("/robots.txt") == 1
        now[0] = age_s + 1
        await cache.get(SITE)
        assert site.requested.count("/robots.txt") == 2

    asyncio.run(request_all())


def test_requests_to_many_sites_are_limited() -> None:
    active, most = 0, 0

    async def download(request: Request) -> Response:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        return answer(404)

    async def request_all() -> None:
        cache = SiteRulesCache(download, OPTIONS)
        await asyncio.gather(*(cache.get(f"https://{number}.org") for number in range(300)))

    asyncio.run(request_all())
    assert most == 100


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTPS://user:word@Example.ORG:443/a", SITE),
        ("http://example.org:443/a", "http://example.org:443"),
        ("http://[::1]:80/a", "http://[::1]"),
        ("file:///a.jpg", ""),
        ("simulator://1", ""),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(Request(url)) == origin
