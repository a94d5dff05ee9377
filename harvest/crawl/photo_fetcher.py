"""Downloads photographs, inspects and stores them in worker processes, and records the outcomes."""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from lightmeter.executors.base import WorkerCrashed
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.reasons import failure_reason, status_reason
from lightmeter.harvest.crawl.sites.site_rules import origin_of
from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.ingest_task import IngestTask, NotAnImage, RequiredExifMissing
from lightmeter.harvest.workers.worker import WorkerTimedOut
from lightmeter.store.base import StoreError

LAST_DOWNLOADS_S = 2.0
"""Time after Ctrl-C for downloads to end by themselves."""

_PLACEHOLDER_MAX_BYTES = 4096
_PLACEHOLDER_MD5 = {  # MD5, because that is what is publicly known of them
    "d835884373f4d6c8f24742ceabe74946",  # imgur: 161 × 81, "The image you are requesting does not exist"
    "f17b01901c752c1bb04928131d1661af",  # i.redd.it: 130 × 60, "… it was probably deleted"
}
_PLACEHOLDER_URLS = {"i.imgur.com/removed.png", "s.yimg.com/pw/images/en-us/photo_unavailable.png"}

logger = logging.getLogger(__name__)


class LeaseExpired(Exception):
    """The lease of a photograph may have expired before its request was sent."""


class PhotoFetcher:
    """Fetches photographs, each in a task of the event loop.

    A photograph passes Scrapy's downloader middlewares and a download handler as a page does, but not Scrapy's engine,
    slots, scraper, spider middlewares and item pipelines, which would take more time than its download.

    Args:
        crawler: The crawler.
        requeue: Called with the request that a redirect or an error of the server leads to.
        downloaded: Called with each request when its connection is free.
        recorded: Called when a photograph is no longer in memory.

    Attributes:
        connections: Number of downloads by the origin of their requests.
    """

    def __init__(
        self,
        crawler: Crawler,
        requeue: Callable[[Request], object],
        downloaded: Callable[[Request], object],
        recorded: Callable[[], object],
    ) -> None:
        self.connections: Counter[str] = Counter()
        self._crawler, self._requeue, self._downloaded, self._recorded = crawler, requeue, downloaded, recorded
        self._tasks: set[asyncio.Task[None]] = set()
        self._downloading: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no photograph is being fetched."""
        return not self._tasks

    def start(self, request: Request) -> None:
        """Begin to fetch a photograph; its connection counts from now on."""
        self.connections[origin_of(request)] += 1
        task = asyncio.ensure_future(self._fetch(request))
        for tasks in (self._tasks, self._downloading):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def close(self) -> None:
        """Give up downloads that do not end soon, which `resume` repeats; wait for photographs that have arrived."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_DOWNLOADS_S)
        for task in self._downloading:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _fetch(self, request: Request) -> None:
        item: RequestItem = request.cb_kwargs["item"]
        try:
            response = await self._download(request)
            self._downloading -= {asyncio.current_task()}
            if isinstance(response, Request):
                self._requeue(response)
            elif rejection := rejection_of(response):
                self._spider.finish(FetchOutcome(item, *rejection))
            else:
                self._spider.finish(await self._ingest(item, response.body))
        except LeaseExpired:
            self._spider.take_back(request, item)
        except StoreError as error:
            self._spider.in_flight.release(item)
            self._spider.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever happened, the photograph has a state
            self._spider.finish(FetchOutcome(item, *failure_reason(error)))
        finally:
            self._recorded()

    async def _download(self, request: Request) -> Response | Request:
        """Return the response to a request, or the request that follows it."""
        downloader = self._crawler.engine.downloader
        try:
            return await downloader.middleware.download_async(self._send, request)
        finally:
            self.connections -= Counter([origin_of(request)])  # an origin without connections is left out
            self._downloaded(request)

    async def _send(self, request: Request) -> Response:
        """Return the response to a request, unless this process was stopped for so long that others may send it.

        Raises:
            LeaseExpired: They may.
        """
        writer = self._spider.writer
        if not writer.is_valid or not writer.holds(request.cb_kwargs["item"]):
            raise LeaseExpired
        return await self._crawler.engine.downloader.handlers.download_request_async(request)

    async def _ingest(self, item: RequestItem, data: bytes) -> FetchOutcome:
        """Inspect and store a photograph in a worker process.

        Raises:
            StoreError: The store cannot be written to.
        """
        task: IngestTask = self._crawler.settings["LIGHTMETER_INGEST_TASK"]
        try:
            photo = await self._spider.workers.run(task.run, data, item.required)
        except NotAnImage as error:
            return FetchOutcome(item, SightingState.FAILED, str(error))
        except RequiredExifMissing as error:
            return FetchOutcome(item, SightingState.SKIPPED, str(error))
        except WorkerTimedOut as timeout:
            return FetchOutcome(item, SightingState.FAILED, f"inspection {timeout}")
        except WorkerCrashed as crash:
            return FetchOutcome(item, SightingState.FAILED, f"inspection failed: {crash}")
        except StoreError:
            raise
        except Exception:
            logger.exception("unexpected error of an inspection")
            return FetchOutcome(item, SightingState.FAILED, "inspection failed: unexpected error")
        problem = photo.inspected.problem
        return FetchOutcome(item, SightingState.FAILED if problem else SightingState.FETCHED, problem, photo)

    @property
    def _spider(self) -> HarvestSpider:
        return cast("HarvestSpider", self._crawler.spider)


def rejection_of(response: Response) -> tuple[SightingState, str] | None:
    """Return the state and reason of a photograph whose response has none; None if it has one."""
    reason = status_reason(response)
    if reason is None and is_placeholder(response.url, response.body):
        return SightingState.GONE, "removed placeholder"
    return reason


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
