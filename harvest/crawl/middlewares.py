"""Middlewares that do what a site asks: wait when it says so, keep away from what its owners reserve."""

import asyncio
import time
from collections import defaultdict
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from lightmeter.harvest.sources.rate_limit import retry_after

_TRY_LATER = {429, 503}
_TRIES_WHEN_TOLD = 10
_FIRST_PAUSE_S = 1.0
_NO_TRAINING = {"noai", "noimageai"}


class RetryAfterMiddleware:
    """Holds back every request to a host that answered 429 or 503, for as long as its Retry-After says.

    Being told to wait is no failure, so such a request is tried more often than one that failed. Where nothing is
    said, the pause doubles with each try, from one second.

    Args:
        longest_s: a longer wait is not waited for: the photograph counts as failed, for `harvest retry`.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._not_before: defaultdict[str, float] = defaultdict(float)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryAfterMiddleware":
        """Take the longest pause from the settings."""
        return cls(crawler.settings.getfloat("LIGHTMETER_MAX_RETRY_AFTER_S"))

    async def process_request(self, request: Request) -> None:
        """Wait until the host may be asked again."""
        await asyncio.sleep(max(0.0, self._not_before[urlsplit(request.url).netloc] - time.monotonic()))

    def process_response(self, request: Request, response: Response) -> Response:
        """Note how long the host wants to be left alone."""
        if response.status not in _TRY_LATER:
            return response
        told = retry_after(_header(response, "Retry-After"))
        pause = _FIRST_PAUSE_S * 2 ** request.meta.get("retry_times", 0) if told is None else told
        if pause > self._longest_s:
            request.meta["dont_retry"] = True
            return response
        if told is not None:
            request.meta["max_retry_times"] = _TRIES_WHEN_TOLD
        host = urlsplit(request.url).netloc
        self._not_before[host] = max(self._not_before[host], time.monotonic() + pause)
        return response


class OptOutMiddleware:
    """Refuses what its owners reserve: ``X-Robots-Tag: noai`` or ``noimageai``, ``TDM-Reservation: 1``.

    The latter is the TDM Reservation Protocol of the W3C community group of that name (2024), the former a convention
    of image hosts since 2022.
    """

    def process_response(self, request: Request, response: Response) -> Response:
        """Look at the headers of every answer."""
        tags = (tag.strip().lower() for tag in _header(response, "X-Robots-Tag").split(","))
        for tag in tags:
            if tag.rpartition(":")[2].strip() in _NO_TRAINING:
                raise IgnoreRequest(f"opt-out: X-Robots-Tag {tag}")
        if _header(response, "TDM-Reservation").strip() == "1":
            raise IgnoreRequest("opt-out: TDM-Reservation")
        return response


def _header(response: Response, name: str) -> str:
    values = response.headers.getlist(name)
    return ",".join(value.decode("latin-1") for value in values)
