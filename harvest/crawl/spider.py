"""The Scrapy spider of a harvest run, its items, and the limit on how many of them are in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import scrapy
from scrapy import Request
from scrapy.http import Response
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from lightmeter.harvest.addresses import InvalidAddress, parse_address
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem
from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.claims import Claims
from lightmeter.harvest.crawl.discovery import Discovery, SourceFailed
from lightmeter.harvest.crawl.limits import MAX_SLOW_PAGES
from lightmeter.harvest.crawl.reasons import failure_reason, is_success
from lightmeter.harvest.crawl.sites.pages import ParsedPage, parse_page
from lightmeter.harvest.sources.base import SpiderSource, Unreadable
from lightmeter.harvest.workers.pool import WorkerPool

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.scheduler import HostScheduler

_CANNOT_STORE = "cannot store"


class InFlightLimit:
    """Limits the photographs between download and catalogue, and so the memory and what a kill can lose.

    Args:
        size: Maximum number of photographs in flight.
        is_available: Returns whether the catalogue can be written to.
    """

    def __init__(self, size: int, is_available: Callable[[], bool] = lambda: True) -> None:
        self._size, self._is_available = size, is_available
        self._sightings: set[int] = set()

    @property
    def has_capacity(self) -> bool:
        """Whether another photograph may be downloaded."""
        return len(self._sightings) < self._size

    @property
    def paused(self) -> bool:
        """Whether nothing may be requested, because the catalogue is locked or unreachable."""
        return not self._is_available()

    def acquire(self, item: RequestItem) -> None:
        """Count an item as in flight."""
        self._sightings.add(item.sighting_id)

    def release(self, item: RequestItem) -> None:
        """Count an item as in flight no longer."""
        self._sightings.discard(item.sighting_id)


class HarvestSpider(scrapy.Spider):
    """Download the photographs that a source discovers.

    Args:
        discovery: Request items from the source.
        claims: Leases pending photographs of the catalogue, and the hosts that requests are sent to.
        writer: Writes outcomes to the catalogue.
        workers: Process pool for inspection.
        in_flight: Limits the number of photographs in memory.
        max_page_depth: Maximum number of links between a start page and a page.

    Attributes:
        result: Final state of the run and the reason if it did not finish.
    """

    name = "harvest"
    result: tuple[RunState, str | None] = (RunState.STOPPED, "interrupted")

    def __init__(
        self,
        discovery: Discovery,
        claims: Claims,
        writer: CatalogueWriter,
        workers: WorkerPool,
        in_flight: InFlightLimit,
        max_page_depth: int,
    ) -> None:
        super().__init__()
        self.discovery, self.writer, self.workers, self.in_flight = discovery, writer, workers, in_flight
        self.claims = claims
        self._max_page_depth = max_page_depth
        self._open: dict[int, RequestItem] = {}
        self._limits: set[str] = set()
        self._slow_pages = 0
        self._parsing = asyncio.Lock()  # sources need not be safe for threads
        self._source_problem: str | None = None
        self._page_problem: str | None = None
        self._cannot_store: str | None = None
        self.writer.on_error = self._fail_from_thread

    async def start(self) -> AsyncIterator[Request]:
        """Let discovered photographs be claimed, and yield a website's start pages.

        If the source fails, the photographs that it yielded before are still downloaded.
        """
        self.claims.start(self)
        try:
            async for item in self.discovery:
                await self._schedule_new(item)
            for request in self.discovery.start_pages():
                for page_request in self._page_requests(request):
                    yield page_request
        except SourceFailed as error:
            self._source_problem = error_message(error)
            self.logger.exception("discovery failed")
        except Exception as error:  # noqa: BLE001 - of the catalogue
            self.fail(error)

    def photo_requests(self, items: Iterable[RequestItem]) -> Iterator[Request]:
        """Yield the requests that download items; an item that cannot be requested fails."""
        for item in items:
            self._open[item.sighting_id] = item
            headers = {"Accept-Encoding": "identity"}  # the bytes exactly as stored on the server
            if item.authorisation:
                headers["Authorization"] = item.authorisation
            try:
                request = Request(item.media_url, cb_kwargs={"item": item}, headers=headers, dont_filter=True)
            except Exception as error:  # noqa: BLE001 - URLs of strangers
                self.finish(FetchOutcome(item, SightingState.FAILED, f"invalid address: {error}"))
                continue
            yield request

    async def parse_page(self, response: Response, source: SpiderSource, query: Any) -> AsyncIterator[Request]:
        """Yield requests for the photographs and links of a website's page; what was parsed before an error is kept."""
        if not is_success(response):
            self._record_page_problem(response.url, f"HTTP {response.status}")
            return
        async with self._parsing:
            if self._slow_pages >= MAX_SLOW_PAGES:
                self._record_page_problem(response.url, f"not parsed, as parsing {MAX_SLOW_PAGES} pages took too long")
                return
            page = await parse_page(response, source, query, lambda: not self.crawler.crawling)
            self._slow_pages += page.abandoned
        if page.problem:
            self._record_page_problem(response.url, page.problem)
        for request in self._linked_pages(page, response):
            yield request
        try:
            requests = await self.discovery.save(page.items, reserve=page.opt_out.reason is not None)
        except Exception as error:  # noqa: BLE001 - of the catalogue
            self.fail(error)
            return
        leased = [item for item in requests if item.worker]
        if page.opt_out.reason:
            for item in leased:
                self.finish(FetchOutcome(item, SightingState.REFUSED, page.opt_out.reason))
        else:
            self.claims.notify()
            for request in self.photo_requests(leased):
                yield request

    def on_page_error(self, failure: Failure) -> None:
        """Record a page that could not be downloaded; the run continues with the others."""
        if isinstance(failure.value, asyncio.CancelledError | CancelledError):  # Ctrl-C
            return
        _, reason = failure_reason(failure.value)
        self._record_page_problem(failure.request.url, reason)  # type: ignore[attr-defined]

    def report_limit(self, url: str, reason: str) -> None:
        """Record that a limit of the run is reached, once.

        Args:
            url: First page beyond it.
            reason: The limit.
        """
        if reason not in self._limits:
            self._limits.add(reason)
            self._record_page_problem(url, reason)

    def finish(self, outcome: FetchOutcome) -> None:
        """Record the outcome of an item and free its in-flight slot."""
        self._open.pop(outcome.item.sighting_id, None)
        self.claims.finish(outcome.item)
        self.writer.save_outcome(outcome)
        self.in_flight.release(outcome.item)

    def fail(self, error: BaseException) -> None:
        """End the crawl because the catalogue or the store cannot be written to; what is pending stays pending."""
        if self._cannot_store is None and self.crawler.engine:
            self._cannot_store = error_message(error)
            self._closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason=_CANNOT_STORE))

    def _fail_from_thread(self, error: BaseException) -> None:
        from twisted.internet import reactor  # importing it installs it

        reactor.callFromThread(self.fail, error)

    def closed(self, reason: str) -> None:
        """Set the result from Scrapy's reason: ``finished``, ``shutdown`` (Ctrl-C) or that of `fail`."""
        self.writer.pauses = self.claims.pauses()
        if self._cannot_store is not None:
            self.result = RunState.FAILED, self._cannot_store
        elif reason == "finished":
            for item in list(self._open.values()):  # whatever a component dropped without a word
                self.finish(FetchOutcome(item, SightingState.FAILED, "request dropped"))
            nothing = self._page_problem and not self.writer.counts
            state = RunState.FAILED if self._source_problem or nothing else RunState.FINISHED
            self.result = state, self._source_problem or self._page_problem

    def _linked_pages(self, page: ParsedPage, response: Response) -> Iterator[Request]:
        """Yield requests for the pages that a page links to, unless it opts out or a limit is reached."""
        if not page.links or not page.opt_out.follow or self.discovery.limit_reached:
            return
        if response.meta.get("depth", 0) >= self._max_page_depth:
            limit = f"more than {self._max_page_depth:,} links from a start page ([crawl] max_page_depth)"
            self.report_limit(page.links[0].url, limit)
            return
        for link in page.links:
            yield from self._page_requests(link)

    def _page_requests(self, request: Request) -> Iterator[Request]:
        """Yield the request of a page, with credentials in a header instead of the URL."""
        try:
            address = parse_address(request.url)
        except InvalidAddress as error:
            self._record_page_problem(request.url, f"invalid address: {error}")
            return
        page = request.replace(
            url=address.url,
            callback=self.parse_page,
            errback=self.on_page_error,
            cb_kwargs={"source": self.discovery.source, "query": self.discovery.query},
        )
        if address.authorisation:
            page.headers["Authorization"] = address.authorisation
        yield page

    def _record_page_problem(self, url: str, reason: str) -> None:
        self._page_problem = self._page_problem or f"{url}: {reason}"
        self.writer.save_items([Unreadable(url, reason)], None)

    def schedule(self, item: RequestItem) -> None:
        """Schedule a photograph that this worker has leased."""
        for request in self.photo_requests([item]):
            self.scheduler.enqueue_request(request)

    def abandon_photos(self) -> None:
        """Forget the photographs that wait, because they are not leased any longer."""
        for item in self.scheduler.remove_photos():
            self._open.pop(item.sighting_id, None)

    def take_back(self, request: Request, item: RequestItem) -> None:
        """Let a photograph whose request was not sent wait until its lease is renewed; forget it if it has expired."""
        if self.writer.holds(item):
            self.scheduler.enqueue_request(request)
        else:
            self._open.pop(item.sighting_id, None)
            self.in_flight.release(item)

    @property
    def scheduler(self) -> "HostScheduler":
        """The scheduler of the crawl."""
        if self.crawler.engine is None:
            raise RuntimeError("the crawl has not started")
        return cast("HostScheduler", self.crawler.engine.scheduler)

    async def _schedule_new(self, item: RequestItem) -> None:
        """Schedule a discovered photograph if this worker has leased it; otherwise let it be claimed."""
        if item.worker is None:
            self.claims.notify()
            return
        self.schedule(item)
        self.scheduler.wake()
        await self.scheduler.wait_for_capacity()


def error_message(error: BaseException) -> str:
    """Return the message of an error as the reason of a run: a sentence without its period, or the error's name."""
    return str(error).strip().removesuffix(".") or type(error).__name__
