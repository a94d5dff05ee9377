"""The spider: turns jobs into requests, and responses and failures into photographs and outcomes."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import scrapy
from scrapy import Request
from scrapy.exceptions import (
    CannotResolveHostError,
    CloseSpider,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Response
from twisted.python.failure import Failure

from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.discovery import Discovery
from lightmeter.harvest.crawl.download_handlers import LocalFailure
from lightmeter.harvest.crawl.in_flight import InFlightLimit
from lightmeter.harvest.crawl.items import FetchOutcome, FetchRequest
from lightmeter.harvest.crawl.placeholders import is_placeholder
from lightmeter.harvest.crawl.worker_pool import WorkerPool
from lightmeter.harvest.sources import PhotoItem, Source, SpiderSource

_GONE = {404, 410}
_OK = 200
_SOURCE_FAILED = "source failed"
_IGNORED = {  # Scrapy's own words
    "Forbidden by robots.txt": (SightingState.REFUSED, "robots.txt"),
    "max redirections reached": (SightingState.FAILED, "too many redirects"),
}
_FAILURES: dict[type[Exception], str] = {
    DownloadCancelledError: "too many bytes",
    DownloadTimeoutError: "timeout",
    ResponseDataLossError: "connection cut",
    DownloadConnectionRefusedError: "connection refused",
    CannotResolveHostError: "host not found",
}


@dataclass(frozen=True, slots=True)
class FetchedItem:
    """A job's bytes, as they came; the item that the pipeline takes."""

    job: FetchRequest
    data: bytes = field(repr=False)


class HarvestSpider(scrapy.Spider):
    """One run of one source.

    Args:
        source: the plugin that discovers, or None.
        query: what it was asked.
        recorder: where outcomes go.
        workers: the process pool.
        feed: jobs found by the source's `discover`; a `SpiderSource` has none.
        left_over: jobs that an earlier run left waiting.
        room: photographs in hand at most.
    """

    name = "harvest"
    ended: tuple[RunState, str | None] = (RunState.STOPPED, "interrupted")

    def __init__(
        self,
        source: Source | None,
        query: Any,
        recorder: CatalogueWriter,
        workers: WorkerPool,
        feed: Discovery,
        left_over: Iterator[FetchRequest],
        room: int,
    ) -> None:
        super().__init__()
        self.source, self.query, self.recorder, self.workers = source, query, recorder, workers
        self.feed = feed
        self._left_over = left_over
        self.room = InFlightLimit(room)
        self._problem: str | None = None

    async def start(self) -> AsyncIterator[Request]:
        """Yield a request for each job, or a site's first pages."""
        try:
            for job in self._left_over:
                yield self._request(job)
            if self.source is None:
                return
            if isinstance(self.source, SpiderSource):
                for request in self.source.start(self.query):
                    yield request.replace(callback=self.page, errback=self.page_failed)
                return
            async for job in self.feed.jobs():
                self.recorder.check()
                yield self._request(job)
        except Exception as error:
            self._problem = str(error) or type(error).__name__
            self.logger.exception("discovery failed")
            raise CloseSpider(_SOURCE_FAILED) from error

    async def page(self, response: Response) -> AsyncIterator[Request]:
        """Take in what a site's page shows: its photographs become jobs, its links requests."""
        assert isinstance(self.source, SpiderSource)  # noqa: S101 - nothing else makes pages
        if response.status != _OK:
            self._problem = self._problem or f"{response.url} answered HTTP {response.status}"
            return
        seen: list[PhotoItem] = []
        for found in self.source.parse(response, self.query):
            if isinstance(found, PhotoItem):
                seen.append(found)
            elif not self.feed.full:
                yield found.replace(callback=self.page, errback=self.page_failed)
        for job in await self.feed.take(seen):
            yield self._request(job)

    def page_failed(self, failure: Failure) -> None:
        """Remember the first page that could not be had; the run goes on with the others."""
        self._problem = self._problem or f"{failure.request.url}: {_outcome_of(failure.value)[1]}"  # type: ignore[attr-defined]

    def photograph(self, response: Response, job: FetchRequest) -> Iterator[FetchedItem]:
        """Pass a photograph's bytes on, or record why there are none."""
        if response.status in _GONE:
            self.settle(FetchOutcome(job, SightingState.GONE, f"HTTP {response.status}"))
        elif response.status != _OK:
            self.settle(FetchOutcome(job, SightingState.FAILED, f"HTTP {response.status}"))
        elif is_placeholder(response.url, response.body):
            self.settle(FetchOutcome(job, SightingState.GONE, "removed placeholder"))
        else:
            yield FetchedItem(job, response.body)

    def photograph_failed(self, failure: Failure) -> None:
        """Record why a photograph could not be had."""
        job: FetchRequest = failure.request.cb_kwargs["job"]  # type: ignore[attr-defined]
        self.settle(FetchOutcome(job, *_outcome_of(failure.value)))

    def settle(self, outcome: FetchOutcome) -> None:
        """Record what became of a job, and make room for another."""
        self.recorder.record(outcome)
        self.room.leave(outcome.job)

    def closed(self, reason: str) -> None:
        """Settle how the run ended: Scrapy says ``finished``, ``shutdown`` (Ctrl-C) or what `start` gave."""
        self.feed.stop()
        if reason == _SOURCE_FAILED or (reason == "finished" and self._problem and not self.recorder.counts):
            self.ended = RunState.FAILED, self._problem
        elif reason == "finished":
            self.ended = RunState.FINISHED, self._problem

    def _request(self, job: FetchRequest) -> Request:
        return Request(
            job.media_url,
            callback=self.photograph,
            errback=self.photograph_failed,
            cb_kwargs={"job": job},
            headers={"Accept-Encoding": "identity"},  # bytes exactly as they are kept there
            meta={"dont_obey_robotstxt": _is_local(job.media_url)},
            dont_filter=True,
        )


def _is_local(url: str) -> bool:
    return not url.startswith(("http:", "https:"))


def _outcome_of(error: BaseException | None) -> tuple[SightingState, str]:
    """Return the state and reason that an exception stands for."""
    if isinstance(error, IgnoreRequest):
        return _IGNORED.get(str(error), (SightingState.REFUSED, str(error)))
    if isinstance(error, LocalFailure):
        return SightingState.FAILED, str(error)
    for kind, reason in _FAILURES.items():
        if isinstance(error, kind):
            return SightingState.FAILED, reason
    return SightingState.FAILED, f"{type(error).__name__}: {error}"
