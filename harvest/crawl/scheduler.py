"""The scheduler: hands each request to the downloader when its host, its service and the memory allow it."""

import asyncio
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from scrapy import Request, Spider, signals
from scrapy.core.downloader import Downloader
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.utils.asyncio import run_in_thread
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.defer import Deferred

from lightmeter.errors import LightmeterError
from lightmeter.harvest.addresses import leased_host
from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.photo_fetcher import PhotoFetcher
from lightmeter.harvest.crawl.sites.site_rules import SITE_FILE, SiteRules, SiteRulesCache, SiteRulesOptions, origin_of
from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter

_MAX_WAITING = 1000


class HostScheduler(BaseScheduler):
    """Holds the requests that must wait, so that those of other hosts pass them.

    Photographs are given to a `PhotoFetcher`, pages to Scrapy's engine. A request waits here for

    * the lease of its host: only one worker at a time sends requests to it,
    * its site's robots.txt and tdmrep.json, which are requested once,
    * the end of a pause that its host asked for (``Retry-After``, ``Crawl-delay``),
    * a free connection to its host, and the delay between two requests to it,
    * the rate limit of its service,
    * memory: the limit on photographs between download and catalogue,
    * the catalogue, if it is locked or unreachable.

    Args:
        crawler: The crawler.

    Attributes:
        site_rules: The rules of all sites.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._concurrency = crawler.settings.getint("CONCURRENT_REQUESTS")
        self._per_host = crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")
        self._delay_s = crawler.settings.getfloat("DOWNLOAD_DELAY")
        self._max_pages = crawler.settings.getint("LIGHTMETER_MAX_PAGES")
        self._pages: set[bytes] = set()  # fingerprints
        self._pages_of_site = Counter[str]()
        self._hosts: dict[str, _Host] = {}
        self._turns: deque[str] = deque()  # hosts with waiting requests, the next one first
        self._numbers = itertools.count()
        self._waiting = 0
        self._capacity = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._services = [
            _Service(limit, limiter, self.wake, self._fail)
            for limit, limiter in crawler.settings["LIGHTMETER_RATE_LIMITERS"]
        ]
        self.site_rules = SiteRulesCache(self._download, SiteRulesOptions.from_settings(crawler.settings))
        self._photos = PhotoFetcher(crawler, self.enqueue_request, self._request_left, self.wake)
        crawler.signals.connect(self._request_left, signals.request_left_downloader)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "HostScheduler":
        """Create the scheduler of a crawler."""
        return cls(crawler)

    def open(self, spider: Spider) -> None:
        """Do nothing; requests are kept in memory."""

    def close(self, reason: str) -> "Deferred[None]":
        """Stop everything that would wake the engine, and wait for the photographs that are being fetched."""
        self._spider.claims.close()
        self.site_rules.close()
        for service in self._services:
            service.close()
        if self._timer:
            self._timer.cancel()
        return deferred_from_coro(self._photos.close())

    def has_pending_requests(self) -> bool:
        """Return whether requests are waiting, photographs are being fetched, or others may be claimed."""
        return self._waiting > 0 or not self._photos.is_idle or not self._spider.claims.exhausted

    def enqueue_request(self, request: Request) -> bool:
        """Add a request; return False for the second request of a page, and for one page too many of a site.

        A photograph that is retried or redirected is not in memory while it waits.
        """
        if not request.dont_filter and not self._is_new_page(request):
            return False
        if item := _item(request):
            self._spider.in_flight.release(item)
        origin = origin_of(request)
        host = self._hosts.setdefault(origin, _Host())
        if not host.queue:
            self._turns.append(origin)
        heapq.heappush(host.queue, (_rank(request), next(self._numbers), request))
        self._waiting += 1
        return True

    def next_request(self) -> Request | None:
        """Begin to fetch the photographs that may be requested now, and return a page's request that may be sent."""
        while (request := self.take()) and _item(request):
            self._photos.start(request)
        return request

    def take(self) -> Request | None:
        """Return a request that may be sent now, of all hosts in turn; it is no longer waiting."""
        active = self._active_requests()
        if active.total() >= self._concurrency or self._spider.in_flight.paused:  # the engine asks again later
            return None
        now = time.monotonic()
        for _ in range(len(self._turns)):
            origin = self._turns[0]
            self._turns.rotate(-1)
            host = self._hosts[origin]
            if self._host_ready(origin, host, now, active[origin]) and self._request_ready(host.queue[0][2]):
                host.not_before = max(host.not_before, now + (self._delay_s if origin else 0.0))
                return self._remove_first(host)
        self._wake_after_pause(now)
        return None

    def hold(self, request: Request, pause_s: float) -> None:
        """Send no request to a request's host for some seconds."""
        self._hold(origin_of(request), pause_s)

    def waiting_hosts(self) -> set[str]:
        """Return the hosts that requests are waiting for."""
        return {leased_host(origin) for origin, host in self._hosts.items() if host.queue} - {""}

    def active_hosts(self) -> set[str]:
        """Return the hosts that requests are under way to, for site files too."""
        active = self._crawler.engine.downloader.active if self._crawler.engine else ()
        return {leased_host(url) for url in (*self._photos.connections, *(request.url for request in active))}

    def pauses(self) -> dict[str, float]:
        """Return the seconds for which no request may be sent to hosts that have a pause."""
        now = time.monotonic()
        pauses: dict[str, float] = {}
        for origin, host in self._hosts.items():
            if origin and host.not_before > now:
                name = leased_host(origin)
                pauses[name] = max(host.not_before - now, pauses.get(name, 0.0))
        return pauses

    def remove_photos(self) -> list[RequestItem]:
        """Remove the photographs that wait, and return them."""
        removed: list[RequestItem] = []
        for host in self._hosts.values():
            items = [item for _, _, request in host.queue if (item := _item(request))]
            host.queue = [entry for entry in host.queue if not _item(entry[2])]
            heapq.heapify(host.queue)
            removed += items
        self._waiting -= len(removed)
        self._turns = deque(origin for origin in self._turns if self._hosts[origin].queue)
        self._capacity.set()
        return removed

    async def wait_for_capacity(self) -> None:
        """Wait until few enough requests are waiting to add another one."""
        while self._waiting >= _MAX_WAITING:
            self._capacity.clear()
            await self._capacity.wait()

    def wake(self) -> None:
        """Let the engine ask for requests now; Scrapy has no public way, and would do so every five seconds."""
        engine = self._crawler.engine
        if engine and engine._slot and not engine._slot.closing:  # noqa: SLF001
            engine._slot.nextcall.schedule()  # noqa: SLF001

    def _active_requests(self) -> Counter[str]:
        """Return the number of requests under way by origin, without those for robots.txt, many of which may hang."""
        active = self._crawler.engine.downloader.active if self._crawler.engine else ()
        pages = [origin_of(request) for request in active if SITE_FILE not in request.meta]
        return self._photos.connections + Counter(pages) if pages else self._photos.connections

    def _is_new_page(self, request: Request) -> bool:
        if self._crawler.request_fingerprinter is None:
            raise RuntimeError("the crawl has not started")
        fingerprint = self._crawler.request_fingerprinter.fingerprint(request)
        if fingerprint in self._pages:
            return False
        site = leased_host(request.url)
        if self._pages_of_site[site] >= self._max_pages:
            limit = f"more than {self._max_pages:,} pages of {site} ([crawl] max_pages)"
            self._spider.report_limit(request.url, limit)
            return False
        self._pages.add(fingerprint)
        self._pages_of_site[site] += 1
        return True

    def _remove_first(self, host: "_Host") -> Request:
        """Remove the first request of the host that was last in turn."""
        _, _, request = heapq.heappop(host.queue)
        if not host.queue:
            self._turns.pop()
        self._waiting -= 1
        self._capacity.set()
        if item := _item(request):
            self._spider.in_flight.acquire(item)
        return request

    def _host_ready(self, origin: str, host: "_Host", now: float, active: int) -> bool:
        if not origin:  # a file, or the address of a source
            return True
        if not self._spider.claims.may_request(leased_host(origin)):
            return False
        rules = self.site_rules.get(origin)
        if not rules.done():
            if host.rules is not rules:
                host.rules = rules
                rules.add_done_callback(lambda _: self._rules_arrived(origin))
            return False
        delay_s = rules.result().robots.crawl_delay
        return now >= host.not_before and active < (1 if delay_s else self._per_host)

    def _request_ready(self, request: Request) -> bool:
        if _item(request) and not self._spider.in_flight.has_capacity:
            return False
        hostname = urlparse_cached(request).hostname or ""
        service = next((service for service in self._services if service.limit.owns(hostname)), None)
        return service is None or service.take()

    def _rules_arrived(self, origin: str) -> None:
        self._pause(origin)
        self.wake()

    def _request_left(self, request: Request) -> None:
        self._pause(origin_of(request))
        self.wake()

    def _pause(self, origin: str) -> None:
        """Begin the pause that a site's robots.txt asks for after each request."""
        rules = self.site_rules.cached(origin)
        if rules and rules.robots.crawl_delay:
            self._hold(origin, rules.robots.crawl_delay)

    def _hold(self, origin: str, pause_s: float) -> None:
        host = self._hosts.setdefault(origin, _Host())
        host.not_before = max(host.not_before, time.monotonic() + pause_s)

    def _wake_after_pause(self, now: float) -> None:
        """Wake the engine when the first pause ends; forget hosts that neither wait nor pause."""
        for origin in [name for name, host in self._hosts.items() if not host.queue and host.not_before <= now]:
            del self._hosts[origin]
        if self._timer:
            self._timer.cancel()
        pauses = [host.not_before - now for host in self._hosts.values() if host.queue and host.not_before > now]
        self._timer = asyncio.get_running_loop().call_later(min(pauses), self.wake) if pauses else None

    def _fail(self, error: Exception) -> None:
        self._spider.fail(error)

    async def _download(self, request: Request) -> Response:
        if self._crawler.engine is None:
            raise RuntimeError("the crawl has not started")
        return await self._crawler.engine.download_async(request)

    @property
    def _spider(self) -> HarvestSpider:
        return cast("HarvestSpider", self._crawler.spider)


class HostDownloader(Downloader):
    """Scrapy's downloader, with one slot for each scheme, host and port, as the scheduler has one queue for each."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._fetches: set[Deferred[Response | Request]] = set()

    def fetch(self, request: Request, spider: Spider | None = None) -> "Deferred[Response | Request]":
        """Return the response to a request."""
        fetch = super().fetch(request)

        def forget(result: Any) -> Any:
            self._fetches.discard(fetch)
            return result

        self._fetches.add(fetch)
        return fetch.addBoth(forget)

    def give_up(self) -> None:
        """Give up the requests under way."""
        for fetch in list(self._fetches):
            fetch.cancel()

    def get_slot_key(self, request: Request) -> str:
        """Return the slot of a request, which for a redirected one is not that of the first host."""
        return origin_of(request)

    def needs_backout(self) -> bool:
        """Return False: the scheduler limits the requests."""
        return False


@dataclass(slots=True)
class _Host:
    """The requests that wait for a host.

    Attributes:
        queue: Heap of ranks, numbers in order of arrival, and requests.
        not_before: End of its pause, on `time.monotonic`'s clock.
        rules: Task that wakes the engine when the rules of the site have arrived.
    """

    queue: list[tuple[int, int, Request]] = field(default_factory=list)
    not_before: float = 0.0
    rules: "asyncio.Task[SiteRules] | None" = None


class _Service:
    """The next request that the rate limit of a service allows.

    Args:
        limit: The limit.
        limiter: Keeps the limit, which all workers share; it is called in a thread.
        wake: Called when a request is allowed.
        fail: Called when it cannot be kept.
    """

    def __init__(
        self, limit: RateLimit, limiter: RateLimiter, wake: Callable[[], None], fail: Callable[[Exception], None]
    ) -> None:
        self.limit = limit
        self._limiter, self._wake, self._fail = limiter, wake, fail
        self._allowed = False
        self._task: asyncio.Task[None] | None = None

    def take(self) -> bool:
        """Take the request that is allowed; if there is none, begin to wait for it and return False."""
        if self._allowed:
            self._allowed = False
            return True
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._wait())
        return False

    def close(self) -> None:
        """Stop waiting."""
        if self._task:
            self._task.cancel()

    async def _wait(self) -> None:
        try:
            pause_s = await run_in_thread(self._limiter.take)
        except LightmeterError as error:
            self._fail(error)
            return
        await asyncio.sleep(pause_s)
        self._allowed = True
        self._wake()


def _item(request: Request) -> RequestItem | None:
    """Return the item of a photograph's request; None for a page."""
    return request.cb_kwargs.get("item")


def _rank(request: Request) -> int:
    """Return the place of a request in the queue of its host: photographs before pages, redirects first."""
    return -request.priority - (1 if _item(request) else 0)
