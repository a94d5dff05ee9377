"""The spider's callbacks, and end-to-end crawls that need a slow or hostile server."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL
from PIL import Image
from scrapy import Request
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Response
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, ResponseNeverReceived

from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem
from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl import spider as spider_module
from lightmeter.harvest.crawl.photo_fetcher import rejection_of
from lightmeter.harvest.crawl.reasons import DownloadError, HeadersTooLarge, failure_reason
from lightmeter.harvest.crawl.sites import pages
from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.sources.base import Sighting, SpiderSource, Unreadable
from lightmeter.settings import Settings
from tests.support import CommandRunner, HttpResponse, Site, encode_image

URL = "https://example.org/1.jpg"
ITEM = RequestItem(1, URL, worker="this one")


@pytest.fixture
def spider() -> Any:
    """A spider that records outcomes in ``spider.outcomes`` and what is unreadable in ``spider.unreadable``."""
    outcomes: list[FetchOutcome] = []
    unreadable: list[Unreadable] = []
    writer: Any = SimpleNamespace(save_outcome=outcomes.append, counts={}, save_items=lambda i, _: unreadable.extend(i))
    in_flight: Any = SimpleNamespace(release=lambda _: None)
    claims: Any = SimpleNamespace(finish=lambda _: None, pauses=dict, notify=lambda: None)
    spider: Any = HarvestSpider(None, claims, writer, None, in_flight, 3)  # type: ignore[arg-type]
    spider.outcomes, spider.unreadable = outcomes, unreadable
    spider.crawler = SimpleNamespace(crawling=True)
    return spider


def test_photo_request_asks_for_unencoded_bytes(spider: Any) -> None:
    request, local = spider.photo_requests([ITEM, RequestItem(2, "file:///tmp/2.jpg")])
    assert request.url == URL
    assert request.headers["Accept-Encoding"] == b"identity"
    assert local.url == "file:///tmp/2.jpg"


def test_malformed_url_fails_and_others_are_requested(spider: Any) -> None:
    items = [RequestItem(number, url) for number, url in enumerate(["no URL", "http://[broken/x.jpg", URL])]
    assert [request.url for request in spider.photo_requests(items)] == [URL]
    assert [(o.item.sighting_id, o.state) for o in spider.outcomes] == [(0, "failed"), (1, "failed")]


def test_credentials_are_sent_in_a_header(spider: Any) -> None:
    (request,) = spider.photo_requests([RequestItem(1, URL, authorisation="Basic YTpi")])
    assert request.headers["Authorization"] == b"Basic YTpi"


def test_request_that_a_component_drops_fails(spider: Any) -> None:
    list(spider.photo_requests([ITEM]))
    spider.closed("finished")
    assert spider.outcomes == [FetchOutcome(ITEM, SightingState.FAILED, "request dropped")]


@pytest.mark.parametrize(
    ("response", "state", "reason"),
    [
        (Response(URL, status=404), SightingState.GONE, "HTTP 404"),
        (Response(URL, status=410), SightingState.GONE, "HTTP 410"),
        (Response(URL, status=500), SightingState.FAILED, "HTTP 500"),
        (
            Response(URL, status=302, headers={"Location": "ftp://a"}),
            SightingState.FAILED,
            "redirect to an unsupported address",
        ),
        (
            Response(URL, status=206, headers={"Content-Range": "bytes 0-9/10000"}, body=b"x"),
            SightingState.FAILED,
            "partial content",
        ),
        (Response("https://i.imgur.com/removed.png", body=b"x"), SightingState.GONE, "removed placeholder"),
    ],
)
def test_response_without_photo_has_a_reason(response: Response, state: SightingState, reason: str) -> None:
    assert rejection_of(response) == (state, reason)


@pytest.mark.parametrize(
    "response",
    [
        Response(URL, status=200, body=b"photo"),
        Response(URL, status=201, body=b"photo"),
        Response(URL, status=203, body=b"photo"),
        Response(URL, status=206, body=b"photo", headers={"Content-Range": "bytes 0-4/5"}),
    ],
)
def test_every_success_is_a_photo(response: Response) -> None:
    assert rejection_of(response) is None


def wrapped(*causes: Exception) -> DownloadFailedError:
    """Return an error as Scrapy wraps those of Twisted."""
    error = DownloadFailedError("[<twisted.python.failure.Failure …>]")
    error.__cause__ = ResponseNeverReceived([Failure(cause) for cause in causes])
    return error


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (IgnoreRequest("robots.txt"), SightingState.REFUSED, "robots.txt"),
        (IgnoreRequest("opt-out: TDM-Reservation"), SightingState.REFUSED, "opt-out: TDM-Reservation"),
        (IgnoreRequest("max redirections reached"), SightingState.FAILED, "too many redirects"),
        (DownloadTimeoutError(), SightingState.FAILED, "timed out"),
        (DownloadError("too many bytes: 9"), SightingState.FAILED, "too many bytes: 9"),
        (DownloadCancelledError(), SightingState.FAILED, "too many bytes"),
        (ResponseDataLossError(), SightingState.FAILED, "connection lost"),
        (CannotResolveHostError(), SightingState.FAILED, "host not found"),
        (ConnectError(), SightingState.FAILED, "host unreachable"),
        (OSError(), SightingState.FAILED, "host unreachable"),
        (wrapped(ConnectionDone()), SightingState.FAILED, "connection lost"),
        (wrapped(ConnectionDone(), HeadersTooLarge()), SightingState.FAILED, "too many bytes of headers"),
        (wrapped(ParseError("wrong", b"data")), SightingState.FAILED, "invalid answer"),
        (wrapped(SSL.Error([("", "", "wrong version number")])), SightingState.FAILED, "TLS error"),
        (wrapped(), SightingState.FAILED, "connection lost"),
        (ValueError("odd"), SightingState.FAILED, "invalid address"),
        (RuntimeError("odd"), SightingState.FAILED, "unexpected error"),
    ],
)
def test_download_error_has_a_reason(error: Exception, state: SightingState, reason: str) -> None:
    assert failure_reason(error) == (state, reason)


@pytest.mark.parametrize(
    ("reason", "state"),
    [("finished", RunState.FINISHED), ("shutdown", RunState.STOPPED)],
)
def test_close_reason_sets_result(spider: Any, reason: str, state: RunState) -> None:
    spider.closed(reason)
    assert spider.result[0] == state


class MadeUpSite(SpiderSource):
    """A source whose pages have a photograph, then what a test puts there."""

    content: Callable[[], Iterable[Any]]

    def parse(self, response: Response, query: Any) -> Iterator[Any]:
        yield Sighting(source_id="1", media_url=URL)
        yield from self.content()


@pytest.fixture
def parse_page(spider: Any) -> Callable[..., tuple[list[str], int]]:
    """Return the URLs that the spider requests after a page, and the number of photographs that are saved."""
    saved: list[Any] = []

    async def save(items: list[Any], *, reserve: bool) -> list[RequestItem]:
        saved.extend(items)
        return [ITEM]

    spider.discovery = SimpleNamespace(save=save, limit_reached=False, source=None, query=None)

    def parse(content: Callable[[], Iterable[Any]], depth: int = 0) -> tuple[list[str], int]:
        source = MadeUpSite(Settings())
        source.content = content

        async def requests() -> list[str]:
            response = Response("https://example.org/", request=Request("https://example.org/", meta={"depth": depth}))
            return [request.url async for request in spider.parse_page(response, source, None)]

        return asyncio.run(requests()), len(saved)

    return parse


def test_page_that_cannot_be_parsed_keeps_what_it_yielded(spider: Any, parse_page: Any) -> None:
    def broken() -> Iterator[Any]:
        raise KeyError("figure")

    assert parse_page(broken) == ([URL], 1)
    assert [(item.location, "figure" in item.reason) for item in spider.unreadable] == [("https://example.org/", True)]


def test_page_that_takes_too_long_keeps_what_it_yielded(
    spider: Any, parse_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_PARSING_S", 0.1)
    monkeypatch.setattr(spider_module, "MAX_SLOW_PAGES", 1)
    ended = threading.Event()
    assert parse_page(lambda: [ended.wait(30)]) == ([URL], 1)
    assert parse_page(list) == ([], 1)
    ended.set()
    reasons = [item.reason for item in spider.unreadable]
    assert reasons == ["parsing took longer than 0 s", "not parsed, as parsing 1 pages took too long"]


def test_parsing_of_a_page_ends_with_the_crawl(spider: Any, parse_page: Any) -> None:
    spider.crawler.crawling = False
    ended = threading.Event()
    assert parse_page(lambda: [ended.wait(30)])[0] == [URL]
    ended.set()


def test_items_of_a_page_are_limited(spider: Any, parse_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE_ITEMS", 3)
    links = [Request(f"https://example.org/{number}") for number in range(5)]
    assert parse_page(lambda: iter(links)) == ([links[0].url, links[1].url, URL], 1)
    assert [item.reason for item in spider.unreadable] == ["more than 3 photographs and links"]


def test_links_that_are_too_deep_are_one_record(spider: Any, parse_page: Any) -> None:
    links = [Request("https://example.org/next"), Request("https://example.org/previous")]
    assert parse_page(lambda: links, depth=2)[0] == [*(link.url for link in links), URL]
    for _ in range(2):
        assert parse_page(lambda: links, depth=3)[0] == [URL]
    assert [(item.location, item.reason) for item in spider.unreadable] == [
        ("https://example.org/next", "more than 3 links from a start page ([crawl] max_page_depth)")
    ]


def test_photos_in_flight_are_limited_in_a_crawl(lightmeter: CommandRunner, site: Site, project: Path) -> None:
    """With one slow worker, downloads stay at most four photographs ahead of the store."""
    names = [f"/{number}.png" for number in range(12)]
    ahead: list[int] = []

    def respond(number: int) -> HttpResponse:
        requested = sum(site.requests[name] for name in names)
        stored = {path.name[:64] for path in (project / "store").rglob("?" * 64 + "*")}  # or staged
        ahead.append(requested - len(stored))
        return HttpResponse(encode_image(Image.new("RGB", (1500, 1500), (number, 0, 0)), "PNG", compress_level=1))

    for number, name in enumerate(names):
        site.responses[name] = lambda _, number=number: respond(number)
    (project / "urls.txt").write_text("".join(f"{site.url}{name}\n" for name in names))
    settings = {"CRAWL__PRIVATE_ADDRESSES": "true", "CRAWL__CONCURRENCY": "2", "INSPECT__WORKERS": "1"}
    env = {f"LIGHTMETER_{name}": value for name, value in settings.items()}
    assert lightmeter("harvest", "run", "urls", project / "urls.txt", env=env)["fetched"] == len(names)
    assert 0 < max(ahead) <= 4
