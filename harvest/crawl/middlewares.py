"""Scrapy downloader middlewares: politeness, opt-outs, private addresses, rate limits and back-pressure."""

import asyncio
import ipaddress
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.http import Response
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred

from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter, retry_after

_OK = 200
_BUSY = {429, 503}
_MAX_BUSY_RETRIES = 10
_FIRST_PAUSE_S = 1.0
_NO_TRAINING = {"noai", "noimageai"}
_ALLOW_PRIVATE = "set private_addresses = true under [crawl] in lightmeter.toml to allow it"


class RetryAfterMiddleware:
    """Delay all requests to a host that answered 429 or 503, for as long as its Retry-After header asks.

    Such a request is retried more often than one that failed. Without a header the pause doubles with each retry,
    starting at one second.

    Args:
        max_pause_s: Longest pause. If a host asks for more, the photograph fails and ``harvest retry`` can retry it.
    """

    def __init__(self, max_pause_s: float) -> None:
        self._max_pause_s = max_pause_s
        self._not_before: defaultdict[str, float] = defaultdict(float)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryAfterMiddleware":
        """Read the longest pause from the settings."""
        return cls(crawler.settings.getfloat("LIGHTMETER_MAX_RETRY_AFTER_S"))

    async def process_request(self, request: Request) -> None:
        """Wait until the host's pause is over."""
        await asyncio.sleep(max(0.0, self._not_before[_host(request)] - time.monotonic()))

    def process_response(self, request: Request, response: Response) -> Response:
        """Note the pause that a busy host asks for."""
        if response.status not in _BUSY:
            return response
        requested_s = retry_after(_header(response, "Retry-After"))
        pause_s = _FIRST_PAUSE_S * 2 ** request.meta.get("retry_times", 0) if requested_s is None else requested_s
        if pause_s > self._max_pause_s:
            request.meta["dont_retry"] = True
            return response
        if requested_s is not None:
            request.meta["max_retry_times"] = _MAX_BUSY_RETRIES
        host = _host(request)
        self._not_before[host] = max(self._not_before[host], time.monotonic() + pause_s)
        return response


class OptOutMiddleware:
    """Ignore responses that opt out of AI training: ``X-Robots-Tag: noai`` or ``noimageai``, ``TDM-Reservation: 1``.

    The latter is the TDM Reservation Protocol (W3C community group, 2024), the former a convention of image hosts.
    """

    def process_response(self, request: Request, response: Response) -> Response:
        """Check the headers of a response.

        Raises:
            IgnoreRequest: The response opts out.
        """
        for tag in _header(response, "X-Robots-Tag").lower().split(","):
            if tag.rpartition(":")[2].strip() in _NO_TRAINING:
                raise IgnoreRequest(f"opt-out: X-Robots-Tag {tag.strip()}")
        if _header(response, "TDM-Reservation").strip() == "1":
            raise IgnoreRequest("opt-out: TDM-Reservation")
        return response


class PrivateAddress(IgnoreRequest):
    """The request goes to an address that is not public."""

    def __init__(self, host: str) -> None:
        super().__init__(f"private address: {host}; {_ALLOW_PRIVATE}")


class PrivateAddressMiddleware:
    """Refuse URLs with a private or loopback address, also after redirects; `PublicResolver` checks host names."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PrivateAddressMiddleware":
        """Stay disabled if the settings allow private addresses."""
        if crawler.settings.getbool("LIGHTMETER_PRIVATE_ADDRESSES"):
            raise NotConfigured
        return cls()

    def process_request(self, request: Request) -> None:
        """Check the host of a request.

        Raises:
            PrivateAddress: The host is not public.
        """
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https"}:
            return
        try:
            public = _is_public(host)
        except ValueError:  # a host name
            public = host != "localhost" and not host.endswith(".localhost")
        if not public:
            raise PrivateAddress(host)


class PublicResolver(CachingThreadedResolver):
    """DNS resolver that refuses private addresses, so that no host name can be redirected after the URL check."""

    def getHostByName(self, name: str, timeout: Any = ()) -> "Deferred[str]":  # noqa: N802 - Twisted's name
        """Resolve a host name; fails with `PrivateAddress` for a private address."""
        return super().getHostByName(name, timeout).addCallback(self._check, name)

    def _check(self, address: str, name: str) -> str:
        if not _is_public(address):
            raise PrivateAddress(name)
        return address


class RateLimitMiddleware:
    """Delay requests to services with a rate limit.

    Args:
        limiters: Rate limits with their limiters; other hosts are not delayed.
    """

    def __init__(self, limiters: Sequence[tuple[RateLimit, RateLimiter]]) -> None:
        self._limiters = limiters

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RateLimitMiddleware":
        """Read the limiters from the settings."""
        return cls(crawler.settings["LIGHTMETER_RATE_LIMITERS"])

    async def process_request(self, request: Request) -> None:
        """Wait until the rate limit allows the request."""
        host = urlsplit(request.url).hostname or ""
        for limit, limiter in self._limiters:
            if limit.owns(host):
                await asyncio.sleep(limiter.take())


class BackpressureMiddleware:
    """Delay downloads until fewer photographs are in flight.

    A response without a photograph frees its slot at once: if it kept it until its retry, waiting requests could
    occupy the whole downloader, and the retry would never start.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "BackpressureMiddleware":
        """Keep the crawler; its spider has the in-flight limit."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Wait for an in-flight slot, if the request downloads a photograph."""
        if "item" in request.cb_kwargs:
            await self._spider.in_flight.acquire(request.cb_kwargs["item"])

    def process_response(self, request: Request, response: Response) -> Response:
        """Free the slot unless the response has a photograph."""
        if response.status != _OK:
            self._release(request)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Free the slot."""
        self._release(request)

    def _release(self, request: Request) -> None:
        if "item" in request.cb_kwargs:
            self._spider.in_flight.release(request.cb_kwargs["item"])

    @property
    def _spider(self) -> HarvestSpider:
        return cast("HarvestSpider", self._crawler.spider)


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address).is_global


def _host(request: Request) -> str:
    return urlsplit(request.url).netloc


def _header(response: Response, name: str) -> str:
    return ",".join(value.decode("latin-1") for value in response.headers.getlist(name))
