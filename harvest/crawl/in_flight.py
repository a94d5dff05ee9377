"""How much may be in hand at a time: fetched, and not yet recorded."""

import asyncio
from typing import TYPE_CHECKING, cast

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from lightmeter.harvest.crawl.items import FetchRequest

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.spider import HarvestSpider

_OK = 200


class InFlightLimit:
    """Bounds the photographs between fetching and recording, so that memory and what a kill can lose stay small.

    Args:
        size: photographs in hand at most.
    """

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)
        self._in_hand: set[int] = set()

    async def enter(self, job: FetchRequest) -> None:
        """Wait until there is room for a job."""
        if job.sighting_id not in self._in_hand:
            await self._free.acquire()
            self._in_hand.add(job.sighting_id)

    def leave(self, job: FetchRequest) -> None:
        """Make room: the job's outcome is recorded, or it brought nothing and may be tried again."""
        if job.sighting_id in self._in_hand:
            self._in_hand.remove(job.sighting_id)
            self._free.release()


class BackpressureMiddleware:
    """Downloader middleware that lets a photograph be fetched when there is room for it.

    What brings no bytes gives its place back at once. If it kept it while it waits to be tried again, those that wait
    at the door would hold all of the downloader, and it could never come in.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "BackpressureMiddleware":
        """Keep the crawler, whose spider has the room."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Wait, if the request is for a photograph."""
        job = request.cb_kwargs.get("job")
        if job is not None:
            await self._room.enter(job)

    def process_response(self, request: Request, response: Response) -> Response:
        """Make room, unless the photograph came."""
        if response.status != _OK:
            self._leave(request)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Make room: nothing came."""
        self._leave(request)

    def _leave(self, request: Request) -> None:
        job = request.cb_kwargs.get("job")
        if job is not None:
            self._room.leave(job)

    @property
    def _room(self) -> InFlightLimit:
        return cast("HarvestSpider", self._crawler.spider).room
