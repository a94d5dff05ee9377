"""Requests each site's robots.txt and tdmrep.json before its first photograph."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult

from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, DownloadConnectionRefusedError, IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.settings import BaseSettings
from scrapy.utils.httpobj import urlparse_cached

from lightmeter.harvest.crawl.addresses import PrivateAddress
from lightmeter.harvest.crawl.reasons import TOO_MANY_REDIRECTS, UNREACHABLE_ROBOTS, failure_reason
from lightmeter.harvest.crawl.sites.robots import RobotsRules, TdmRules
from lightmeter.harvest.sources.rate_limit import retry_after

SITE_FILE = "lightmeter_site_file"
"""Key in the metadata of requests for robots.txt and tdmrep.json, with the number of bytes that are wanted."""

_ROBOTS, _TDM = "/robots.txt", "/.well-known/tdmrep.json"
_MAX_AGE_S = 24 * 3600.0  # RFC 9309, section 2.4
_UNREACHABLE_AGE_S = 300.0
_MAX_SITES = 1000
_MAX_REQUESTS = 100
_TDM_TIMEOUT_S = 15.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_DOWN = (PrivateAddress, CannotResolveHostError, DownloadConnectionRefusedError)

Download = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What a site allows.

    Attributes:
        robots: Rules of robots.txt.
        tdm: Rules of tdmrep.json.
        refusal: Reason to refuse all URLs, if there is one.
        error: Error of the site that stops all requests, such as an unknown host name.
    """

    robots: RobotsRules = field(default_factory=RobotsRules)
    tdm: TdmRules = field(default_factory=TdmRules)
    refusal: str | None = None
    error: Exception | None = None

    def check(self, url: str) -> None:
        """Check a URL.

        Raises:
            IgnoreRequest: The site does not allow it; the message is the reason.
            Exception: The site cannot be requested.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)  # one for all requests: its traceback would grow
        if self.refusal:
            raise IgnoreRequest(self.refusal)
        if not self.robots.allow(url):
            raise IgnoreRequest("robots.txt")
        if self.tdm.reserve(url):
            raise IgnoreRequest("opt-out: tdmrep.json")


@dataclass(frozen=True, slots=True)
class SiteRulesOptions:
    """How rules are requested.

    Attributes:
        attempts: Requests for robots.txt until a site counts as unreachable.
        max_pause_s: Longest Retry-After and Crawl-delay that are obeyed.
        max_bytes: Bytes of a file that are read.
    """

    attempts: int
    max_pause_s: float
    max_bytes: int

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> "SiteRulesOptions":
        """Return the options in Scrapy's settings."""
        return cls(
            settings.getint("RETRY_TIMES") + 1,
            settings.getfloat("LIGHTMETER_MAX_RETRY_AFTER_S"),
            settings.getint("LIGHTMETER_MAX_ROBOTS_BYTES"),
        )


class SiteRulesCache:
    """The rules of sites, requested once for all requests that wait for them.

    Args:
        download: Downloads a request.
        options: How rules are requested.
        clock: Returns seconds.
    """

    def __init__(
        self, download: Download, options: SiteRulesOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._download, self._options, self._clock = download, options, clock
        self._slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._sites: OrderedDict[str, tuple[asyncio.Task[SiteRules], float]] = OrderedDict()

    def get(self, origin: str) -> "asyncio.Task[SiteRules]":
        """Return the task that requests the rules of a site, which may be done."""
        task, started = self._sites.get(origin, (None, 0.0))
        if task is None or self._expired(task, started):
            task = asyncio.ensure_future(self._request_rules(origin))
            self._sites[origin] = task, self._clock()
            self._forget_oldest()
        self._sites.move_to_end(origin)
        return task

    def cached(self, origin: str) -> SiteRules | None:
        """Return the rules of a site if they have arrived."""
        task, _ = self._sites.get(origin, (None, 0.0))
        return task.result() if task and task.done() and not task.cancelled() else None

    def close(self) -> None:
        """Cancel the requests that are under way."""
        for task, _ in self._sites.values():
            task.cancel()

    def _expired(self, task: "asyncio.Task[SiteRules]", started: float) -> bool:
        if not task.done():
            return False
        rules = task.result()
        age_s = _UNREACHABLE_AGE_S if rules.error or rules.refusal else _MAX_AGE_S
        return self._clock() - started > age_s

    def _forget_oldest(self) -> None:
        for origin in list(self._sites)[: max(0, len(self._sites) - _MAX_SITES)]:
            if self._sites[origin][0].done():
                del self._sites[origin]

    async def _request_rules(self, origin: str) -> SiteRules:
        try:
            response = await self._request_robots(origin)
        except _HOST_DOWN as error:
            return SiteRules(error=error)
        except Exception as error:  # noqa: BLE001 - whatever happened, the rules are unknown
            _, reason = failure_reason(error)
            if reason != TOO_MANY_REDIRECTS:  # "unavailable", as HTTP 404 (RFC 9309, section 2.3.1.2)
                return SiteRules(refusal=f"{UNREACHABLE_ROBOTS}: {reason}")
            robots = RobotsRules()
        else:
            if response.status >= 500:
                return SiteRules(refusal=f"{UNREACHABLE_ROBOTS}: HTTP {response.status}")
            successful = 200 <= response.status < 300
            robots = RobotsRules.parse(response.body, self._options.max_bytes) if successful else RobotsRules()
        if robots.crawl_delay > self._options.max_pause_s:
            return SiteRules(refusal=f"robots.txt: Crawl-delay of {robots.crawl_delay:g} s")
        return SiteRules(robots, await self._request_tdm(origin, robots))

    async def _request_robots(self, origin: str) -> Response:
        """Request robots.txt, again while the site is busy or does not answer."""
        for attempt in range(self._options.attempts):
            last = attempt + 1 == self._options.attempts
            pause_s = 2.0**attempt
            try:
                response = await self._request(origin + _ROBOTS)
            except (IgnoreRequest, *_HOST_DOWN):
                raise
            except Exception:
                if last:
                    raise
            else:
                requested_s = retry_after((response.headers.get("Retry-After") or b"").decode("latin-1"))
                pause_s = pause_s if requested_s is None else requested_s
                busy = response.status == 429 or response.status >= 500
                if last or not busy or pause_s > self._options.max_pause_s:
                    return response
            await asyncio.sleep(pause_s)
        raise AssertionError("there is at least one attempt")

    async def _request_tdm(self, origin: str, robots: RobotsRules) -> TdmRules:
        """Request tdmrep.json; a site that does not answer does not use the protocol."""
        if not robots.allow(origin + _TDM):
            return TdmRules()
        try:
            response = await self._request(origin + _TDM, download_timeout=_TDM_TIMEOUT_S)
        except Exception:  # noqa: BLE001
            return TdmRules()
        return TdmRules.parse(response.body) if 200 <= response.status < 300 else TdmRules()

    async def _request(self, url: str, **meta: float) -> Response:
        """Request a file of a site, not too many at once."""
        request = Request(
            url,
            callback=NO_CALLBACK,
            headers={"Accept-Encoding": "identity"},
            meta={SITE_FILE: self._options.max_bytes, "dont_retry": True, **meta},
            dont_filter=True,
        )
        async with self._slots:
            return await self._download(request)


def origin_of(request: Request) -> str:
    """Return scheme, host and port of a web address, as ``https://example.org``; nothing for other addresses."""
    parts = urlparse_cached(request)
    return _origin(parts.scheme.lower(), parts.netloc)


@lru_cache(maxsize=1024)  # five times for each photograph, of few hosts
def _origin(scheme: str, netloc: str) -> str:
    parts = SplitResult(scheme, netloc, "", "", "")
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, _DEFAULT_PORTS[scheme]} else f":{parts.port}"
    return f"{scheme}://{host}{port}"
