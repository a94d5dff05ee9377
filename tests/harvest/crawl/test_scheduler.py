"""The scheduler, asked for requests as Scrapy's engine does."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request
from scrapy.http import Response
from scrapy.settings import Settings

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl import scheduler as scheduler_module
from lightmeter.harvest.crawl.scheduler import HostDownloader, HostScheduler
from lightmeter.harvest.crawl.sites.site_rules import SITE_FILE
from lightmeter.harvest.crawl.spider import InFlightLimit
from lightmeter.harvest.sources.rate_limit import RateLimit


class MadeUpEngine:
    """The parts of an engine that a scheduler uses; robots.txt is answered when a test says so."""

    def __init__(self, robots: str = "") -> None:
        self.downloader = SimpleNamespace(active=set())
        self._slot = SimpleNamespace(closing=None, nextcall=SimpleNamespace(schedule=self._wake))
        self.robots, self.answered = robots, asyncio.Event()
        self.requested: list[str] = []
        self.woken = asyncio.Event()

    async def download_async(self, request: Request) -> Response:
        self.requested.append(request.url)
        await self.answered.wait()
        return Response(request.url, body=self.robots.encode() if "robots" in request.url else b"")

    def _wake(self) -> None:
        self.woken.set()


class Crawl:
    """A scheduler with an engine and a spider."""

    def __init__(
        self,
        robots: str = "",
        in_flight: int = 100,
        limiters: Any = (),
        concurrency: int = 100,
        delay_s: float = 0,
        max_pages: int = 100,
    ) -> None:
        settings = {
            "CONCURRENT_REQUESTS": concurrency,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 2,
            "DOWNLOAD_DELAY": delay_s,
            "RETRY_TIMES": 0,
            "LIGHTMETER_MAX_RETRY_AFTER_S": 600,
            "LIGHTMETER_MAX_ROBOTS_BYTES": 512_000,
            "LIGHTMETER_RATE_LIMITERS": limiters,
            "LIGHTMETER_MAX_PAGES": max_pages,
        }
        self.engine, self.in_flight = MadeUpEngine(robots), InFlightLimit(in_flight)
        self.reported: list[tuple[str, str]] = []
        report = lambda url, reason: self.reported.append((url, reason))  # noqa: E731
        self.unleased: set[str] = set()
        self.claims = SimpleNamespace(
            may_request=lambda host: host not in self.unleased, exhausted=True, close=lambda: None
        )
        crawler: Any = SimpleNamespace(
            settings=Settings(settings),
            engine=self.engine,
            spider=SimpleNamespace(in_flight=self.in_flight, report_limit=report, claims=self.claims),
            signals=SimpleNamespace(connect=self._connect),
            request_fingerprinter=SimpleNamespace(fingerprint=lambda request: request.url.encode()),
        )
        self.scheduler = HostScheduler(crawler)

    def _connect(self, handler: Any, _: object) -> None:
        self._request_left = handler

    def add(self, *urls: str, **options: Any) -> None:
        for url in urls:
            assert self.scheduler.enqueue_request(Request(url, dont_filter=True, **options))

    def add_photos(self, *urls: str) -> None:
        for number, url in enumerate(urls):
            self.add(url, cb_kwargs={"item": RequestItem(number, url)})

    def take(self) -> list[str]:
        """Return the URLs of all requests that may be sent; they become active."""
        urls = []
        while request := self.scheduler.take():
            self.engine.downloader.active.add(request)
            urls.append(request.url)
        return urls

    def finish(self) -> None:
        """End all active requests."""
        for request in self.engine.downloader.active:
            self._request_left(request)
        self.engine.downloader.active.clear()

    async def rules(self, *origins: str) -> None:
        """Let the rules of sites arrive."""
        self.engine.answered.set()
        for origin in origins:
            await self.scheduler.site_rules.get(origin)
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_all_requests_of_a_host_wait_for_its_rules() -> None:
    async def scenario() -> None:
        crawl = Crawl()
        crawl.add(*(f"http://a.org/{number}" for number in range(5)), "file:///1.jpg")
        assert crawl.take() == ["file:///1.jpg"]
        assert crawl.take() == []
        await asyncio.sleep(0)
        assert crawl.engine.requested == ["http://a.org/robots.txt"]
        await crawl.rules("http://a.org")
        assert crawl.engine.woken.is_set()
        assert crawl.take() == ["http://a.org/0", "http://a.org/1"]  # two connections per host
        assert crawl.engine.requested == ["http://a.org/robots.txt", "http://a.org/.well-known/tdmrep.json"]
        crawl.finish()
        assert crawl.take() == ["http://a.org/2", "http://a.org/3"]
        assert crawl.scheduler.has_pending_requests()
        crawl.scheduler.close("finished")

    run(scenario())


def test_pages_of_each_site_are_limited() -> None:
    async def scenario() -> None:
        crawl = Crawl(max_pages=2)
        pages = [Request(f"http://a.org/{number}") for number in (1, 2, 1, 3, 2)]
        assert [crawl.scheduler.enqueue_request(page) for page in pages] == [True, True, False, False, False]
        crawl.add_photos("http://a.org/4")
        assert crawl.scheduler.enqueue_request(Request("http://b.org/1"))
        assert crawl.reported == [("http://a.org/3", "more than 2 pages of a.org ([crawl] max_pages)")]

    run(scenario())


def test_busy_host_does_not_delay_others() -> None:
    async def scenario() -> None:
        crawl = Crawl()
        busy, free = "http://busy.org", "http://free.org"
        crawl.add(*(f"{busy}/{number}" for number in range(40)), *(f"{free}/{number}" for number in range(3)))
        crawl.take()
        await crawl.rules(busy, free)
        assert crawl.take() == [f"{busy}/0", f"{free}/0", f"{busy}/1", f"{free}/1"]
        crawl.scheduler.hold(Request(f"{busy}/0"), 0.05)
        crawl.finish()
        assert crawl.take() == [f"{free}/2"]
        crawl.engine.woken.clear()
        await crawl.engine.woken.wait()  # at the end of the pause
        assert crawl.take() == [f"{busy}/2", f"{busy}/3"]

    run(scenario())


def test_crawl_delay_is_between_requests() -> None:
    async def scenario() -> None:
        crawl = Crawl("User-agent: *\nCrawl-delay: 0.05")
        crawl.add("http://a.org/1", "http://a.org/2")
        crawl.take()
        await crawl.rules("http://a.org")
        taken = []
        for _ in range(2):
            assert crawl.take() == []
            crawl.engine.woken.clear()
            await crawl.engine.woken.wait()
            taken += crawl.take()
            assert crawl.take() == []  # one connection
            crawl.finish()
        assert taken == ["http://a.org/1", "http://a.org/2"]

    run(scenario())


def test_photos_wait_for_memory_and_pages_do_not() -> None:
    async def scenario() -> None:
        crawl = Crawl(in_flight=1)
        crawl.add_photos("file:///1.jpg", "file:///2.jpg")
        assert crawl.take() == ["file:///1.jpg"]
        crawl.add("http://a.org/")
        crawl.take()
        await crawl.rules("http://a.org")
        assert crawl.take() == ["http://a.org/"]
        crawl.in_flight.release(RequestItem(0, ""))
        assert crawl.take() == ["file:///2.jpg"]

    run(scenario())


def test_retried_photo_frees_its_place() -> None:
    async def scenario() -> None:
        crawl = Crawl(in_flight=1)
        crawl.add_photos("file:///1.jpg", "file:///2.jpg")
        crawl.take()
        crawl.add_photos("file:///1.jpg")  # as Scrapy's retry and redirect middlewares do
        assert crawl.take() == ["file:///2.jpg"]

    run(scenario())


def test_photographs_come_before_pages_and_redirects_first() -> None:
    async def scenario() -> None:
        crawl = Crawl()
        crawl.add("http://a.org/page")
        crawl.add_photos("http://a.org/1.jpg")
        crawl.add("http://a.org/redirected", priority=2)
        crawl.take()
        await crawl.rules("http://a.org")
        assert crawl.take() == ["http://a.org/redirected", "http://a.org/1.jpg"]

    run(scenario())


def test_rate_limit_delays_its_service_only() -> None:
    async def scenario() -> None:
        pauses = [0.0, 0.05]
        limiter = SimpleNamespace(take=lambda: pauses.pop(0))
        crawl = Crawl(limiters=[(RateLimit("example", 3600, ("a.org",)), limiter)])
        crawl.add("http://media.a.org/1", "http://media.a.org/2", "http://b.org/1")
        crawl.take()
        await crawl.rules("http://media.a.org", "http://b.org")
        taken = []
        for _ in range(2):
            taken += crawl.take()
            crawl.engine.woken.clear()
            await crawl.engine.woken.wait()
        assert taken[0] == "http://b.org/1"
        assert taken[1:] + crawl.take() == ["http://media.a.org/1", "http://media.a.org/2"]

    run(scenario())


def test_concurrency_is_limited_and_hanging_robots_txt_does_not_count() -> None:
    async def scenario() -> None:
        crawl = Crawl(concurrency=2)
        crawl.engine.downloader.active = {
            Request(f"http://{number}.org/robots.txt", meta={SITE_FILE: 1}) for number in range(50)
        }
        crawl.add("file:///1.jpg", "file:///2.jpg", "file:///3.jpg")
        assert crawl.take() == ["file:///1.jpg", "file:///2.jpg"]
        crawl.finish()
        assert crawl.take() == ["file:///3.jpg"]

    run(scenario())


def test_delay_is_between_requests_to_a_host() -> None:
    async def scenario() -> None:
        crawl = Crawl(delay_s=0.05)
        crawl.add("http://a.org/1", "http://a.org/2", "file:///1.jpg", "file:///2.jpg")
        crawl.take()
        await crawl.rules("http://a.org")
        assert crawl.take() == ["http://a.org/1"]
        crawl.engine.woken.clear()
        await crawl.engine.woken.wait()  # at the end of the delay
        assert crawl.take() == ["http://a.org/2"]

    run(scenario())


def test_every_site_has_a_slot_of_its_own() -> None:
    downloader = HostDownloader.__new__(HostDownloader)
    redirected = Request("http://a.org:81/1", meta={"download_slot": "http://a.org"})
    assert downloader.get_slot_key(redirected) == "http://a.org:81"
    assert downloader.get_slot_key(Request("file:///1.jpg")) == ""


def test_discovery_waits_while_many_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(scheduler_module, "_MAX_WAITING", 2)
        crawl = Crawl()
        await crawl.scheduler.wait_for_capacity()
        crawl.add("file:///1", "file:///2")
        waiting = asyncio.ensure_future(crawl.scheduler.wait_for_capacity())
        await asyncio.sleep(0)
        assert not waiting.done()
        crawl.take()
        await waiting

    run(scenario())
