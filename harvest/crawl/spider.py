"""The Scrapy spider of a harvest run, its items, and the limit on how many of them are in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import scrapy
from scrapy import Request
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from twisted.python.failure import Failure

from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem
from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.discovery import Discovery
from lightmeter.harvest.crawl.opt_outs import page_opt_out
from lightmeter.harvest.crawl.reasons import failure_reason, is_success, status_reason
from lightmeter.harvest.crawl.worker_pool import WorkerPool
from lightmeter.harvest.sources.base import Sighting, SpiderSource

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.scheduler import HostScheduler

_SOURCE_FAILED, _CANNOT_STORE = "source failed", "cannot store"
_PLACEHOLDER_MAX_BYTES = 4096
_PLACEHOLDER_MD5 = {  # MD5, because that is what is publicly known of them
    "d835884373f4d6c8f24742ceabe74946",  # imgur: 161 × 81, "The image you are requesting does not exist"
    "f17b01901c752c1bb04928131d1661af",  # i.redd.it: 130 × 60, "… it was probably deleted"
}
_PLACEHOLDER_URLS = {"i.imgur.com/removed.png", "s.yimg.com/pw/images/en-us/photo_unavailable.png"}


@dataclass(frozen=True, slots=True)
class DownloadedPhoto:
    """The unchanged bytes of a photograph; the item that the pipeline processes."""

    item: RequestItem
    data: bytes = field(repr=False)


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
    def has_room(self) -> bool:
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
        discovery: Request items from the source, and those left by an interrupted run.
        writer: Writes outcomes to the catalogue.
        workers: Process pool for inspection.
        in_flight: Limits the number of photographs in memory.

    Attributes:
        result: Final state of the run and the reason if it did not finish.
    """

    name = "harvest"
    result: tuple[RunState, str | None] = (RunState.STOPPED, "interrupted")

    def __init__(
        self, discovery: Discovery, writer: CatalogueWriter, workers: WorkerPool, in_flight: InFlightLimit
    ) -> None:
        super().__init__()
        self.discovery, self.writer, self.workers, self.in_flight = discovery, writer, workers, in_flight
        self._problem: str | None = None
        self._cannot_store: str | None = None
        self.writer.on_error = self._fail_from_thread

    async def start(self) -> AsyncIterator[Request]:
        """Yield a request for each item, no faster than the scheduler accepts them, and a website's start pages."""
        try:
            async for item in self.discovery:
                yield self.photo_request(item)
                await self._scheduler_ready()
            for request in self.discovery.start_pages():
                yield self._page_request(request)
        except Exception as error:
            self._problem = error_message(error)
            self.logger.exception("discovery failed")
            raise CloseSpider(_SOURCE_FAILED) from error

    def photo_request(self, item: RequestItem) -> Request:
        """Return the request that downloads an item."""
        return Request(
            item.media_url,
            callback=self.parse_photo,
            errback=self.on_photo_error,
            cb_kwargs={"item": item},
            headers={"Accept-Encoding": "identity"},  # the bytes exactly as stored on the server
            dont_filter=True,
        )

    def parse_photo(self, response: Response, item: RequestItem) -> Iterator[DownloadedPhoto]:
        """Yield the downloaded bytes, or record why there are none."""
        reason = status_reason(response)
        if reason:
            self.finish(FetchOutcome(item, *reason))
        elif is_placeholder(response.url, response.body):
            self.finish(FetchOutcome(item, SightingState.GONE, "removed placeholder"))
        else:
            yield DownloadedPhoto(item, response.body)

    def on_photo_error(self, failure: Failure) -> None:
        """Record a photograph that could not be downloaded."""
        self.finish(FetchOutcome(failure.request.cb_kwargs["item"], *failure_reason(failure.value)))  # type: ignore[attr-defined]

    async def parse_page(self, response: Response, source: SpiderSource, query: Any) -> AsyncIterator[Request]:
        """Yield requests for the photographs and links of a website's page."""
        if not is_success(response):
            self._problem = self._problem or f"{response.url} answered HTTP {response.status}"
            return
        opt_out = page_opt_out(response)
        photos: list[Sighting] = []
        for result in source.parse(response, query):
            if isinstance(result, Sighting):
                photos.append(result)
            elif opt_out.follow and not self.discovery.limit_reached:
                yield self._page_request(result)
        for item in await self.discovery.save(photos):
            if opt_out.reason:
                self.finish(FetchOutcome(item, SightingState.REFUSED, opt_out.reason))
            else:
                yield self.photo_request(item)

    def on_page_error(self, failure: Failure) -> None:
        """Remember the first page that could not be downloaded; the run continues with the others."""
        _, reason = failure_reason(failure.value)
        self._problem = self._problem or f"{failure.request.url}: {reason}"  # type: ignore[attr-defined]

    def finish(self, outcome: FetchOutcome) -> None:
        """Record the outcome of an item and free its in-flight slot."""
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
        """Set the result from Scrapy's reason: ``finished``, ``shutdown`` (Ctrl-C) or the one of `start`."""
        if self._cannot_store is not None:
            self.result = RunState.FAILED, self._cannot_store
        elif reason == _SOURCE_FAILED or (reason == "finished" and self._problem and not self.writer.counts):
            self.result = RunState.FAILED, self._problem
        elif reason == "finished":
            self.result = RunState.FINISHED, self._problem

    def _page_request(self, request: Request) -> Request:
        arguments = {"source": self.discovery.source, "query": self.discovery.query}
        return request.replace(callback=self.parse_page, errback=self.on_page_error, cb_kwargs=arguments)

    async def _scheduler_ready(self) -> None:
        """Wait until the scheduler accepts requests, so that discovery is never far ahead of the downloads."""
        if self.crawler.engine:
            await cast("HostScheduler", self.crawler.engine.scheduler).room()


def error_message(error: BaseException) -> str:
    """Return the message of an error as the reason of a run: a sentence without its period, or the error's name."""
    return str(error).strip().removesuffix(".") or type(error).__name__


def is_placeholder(url: str, data: bytes) -> bool:
    """Return whether a response is the "this image was removed" image of a host, which has status 200.

    Args:
        url: Final URL, after redirects.
        data: Response body.
    """
    parts = urlsplit(url)
    if f"{parts.hostname}{parts.path}" in _PLACEHOLDER_URLS:
        return True
    if len(data) > _PLACEHOLDER_MAX_BYTES:
        return False
    return hashlib.md5(data, usedforsecurity=False).hexdigest() in _PLACEHOLDER_MD5
