"""Scrapy downloader middlewares: rules of sites, opt-outs, busy hosts and encoded responses."""

import asyncio
import zlib
from contextlib import suppress
from typing import cast

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.exceptions import IgnoreRequest, StopDownload
from scrapy.http import Response
from scrapy.utils.asyncio import run_in_thread

from lightmeter.harvest.crawl.limits import MAX_CONTENT_CODINGS
from lightmeter.harvest.crawl.reasons import DownloadError
from lightmeter.harvest.crawl.scheduler import HostScheduler
from lightmeter.harvest.crawl.sites.pages import header_opt_out
from lightmeter.harvest.crawl.sites.site_rules import SITE_FILE, origin_of
from lightmeter.harvest.sources.rate_limit import retry_after

_BUSY = {429, 503}
_MAX_BUSY_RETRIES = 10
_FIRST_PAUSE_S = 1.0
_GZIP_OR_ZLIB, _RAW = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS


class SiteRulesMiddleware:
    """Refuse requests that a site's robots.txt or tdmrep.json does not allow, also after redirects."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "SiteRulesMiddleware":
        """Keep the crawler, whose scheduler has the rules."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Check a request.

        Raises:
            IgnoreRequest: The site does not allow it.
            Exception: The site cannot be requested.
        """
        origin = origin_of(request)
        if not origin or SITE_FILE in request.meta:
            return
        rules = await scheduler_of(self._crawler).site_rules.get(origin)
        request.meta["dont_retry"] = rules.error is not None
        rules.check(request.url)


class OptOutMiddleware:
    """Ignore photographs whose headers opt out of AI training or indexing; those of pages are read by the spider."""

    def process_response(self, request: Request, response: Response) -> Response:
        """Check the headers of a photograph.

        Raises:
            IgnoreRequest: The response opts out.
        """
        if "item" in request.cb_kwargs and (reason := header_opt_out(response).reason):
            raise IgnoreRequest(reason)
        return response


class RetryAfterMiddleware:
    """Pause all requests to a host that answered 429 or 503, for as long as its Retry-After header asks.

    Such a request is retried more often than one that failed. Without a header the pause doubles with each retry,
    starting at one second.

    Args:
        crawler: Its scheduler holds the requests.
        max_pause_s: Longest pause. If a host asks for more, the photograph fails and ``harvest retry`` can retry it.
    """

    def __init__(self, crawler: Crawler, max_pause_s: float) -> None:
        self._crawler, self._max_pause_s = crawler, max_pause_s

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryAfterMiddleware":
        """Read the longest pause from the settings."""
        return cls(crawler, crawler.settings.getfloat("LIGHTMETER_MAX_RETRY_AFTER_S"))

    def process_response(self, request: Request, response: Response) -> Response:
        """Note the pause that a busy host asks for."""
        if response.status not in _BUSY:
            return response
        requested_s = retry_after((response.headers.get("Retry-After") or b"").decode("latin-1"))
        pause_s = _FIRST_PAUSE_S * 2 ** request.meta.get("retry_times", 0) if requested_s is None else requested_s
        if pause_s > self._max_pause_s:
            request.meta["dont_retry"] = True
            return response
        if requested_s is not None:
            request.meta["max_retry_times"] = _MAX_BUSY_RETRIES
        scheduler_of(self._crawler).hold(request, pause_s)
        return response


class ContentCodingMiddleware(HttpCompressionMiddleware):
    """Decode the content coding of a response, in a thread (RFC 9110, section 8.4).

    ``identity`` is no coding, and a coding that the bytes do not have is ignored. The decoded body may be as long as
    the response itself, by its kind. Of a robots.txt only the first bytes are received and decoded.

    Args:
        crawler: Its settings have the limits.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler=crawler)
        self._decoding = asyncio.Lock()  # one at a time, as each may take the memory of the largest file
        self._max_page_bytes = crawler.settings.getint("LIGHTMETER_MAX_PAGE_BYTES")
        crawler.signals.connect(self.bytes_received, signals.bytes_received)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "ContentCodingMiddleware":
        """Read the limits from the settings."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:  # type: ignore[override]
        """Limit the size of everything that is not a photograph."""
        super().process_request(request)
        if "item" not in request.cb_kwargs:
            request.meta["download_maxsize"] = 0 if SITE_FILE in request.meta else self._max_page_bytes

    def bytes_received(self, data: bytes, request: Request) -> None:
        """Stop the download of a robots.txt that is long enough.

        Raises:
            StopDownload: There are enough bytes.
        """
        if SITE_FILE in request.meta:
            received = request.meta["lightmeter_received"] = request.meta.get("lightmeter_received", 0) + len(data)
            if received >= request.meta[SITE_FILE]:
                raise StopDownload(fail=False)

    async def process_response(self, request: Request, response: Response) -> Response:  # type: ignore[override]
        """Return the response with its decoded body.

        Raises:
            DownloadError: The body cannot be decoded, or is too long.
        """
        if "Content-Encoding" in response.headers or SITE_FILE in request.meta:
            response = self._corrected(request, response)
        if "Content-Encoding" not in response.headers:
            return response
        async with self._decoding:
            decoded = await run_in_thread(self._decoded, request, response)
        if isinstance(decoded, str):
            raise DownloadError(decoded)
        return decoded

    @staticmethod
    def _decode(body: bytes, encoding: bytes, max_size: int) -> bytes:
        """Decode one coding; of deflate, Scrapy copies what remains for each part that it decodes."""
        if encoding != b"deflate":
            return HttpCompressionMiddleware._decode(body, encoding, max_size)  # noqa: SLF001
        try:
            decoded = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, max_size + 1)
        except zlib.error:  # some servers send no zlib header
            decoded = zlib.decompressobj(_RAW).decompress(body, max_size + 1)
        if len(decoded) > max_size:
            raise IgnoreRequest
        return decoded

    def _decoded(self, request: Request, response: Response) -> Response | str:
        """Return the response with its decoded body, or why there is none.

        An exception would keep what was decoded in memory, in the local variables of the decoder.
        """
        try:
            return cast("Response", super().process_response(request, response))
        except IgnoreRequest:
            return "too many bytes"
        except Exception:  # noqa: BLE001 - each decoder has errors of its own
            return "invalid content coding"

    def _corrected(self, request: Request, response: Response) -> Response:
        """Return a response whose header ``Content-Encoding`` names the codings of its bytes.

        Raises:
            DownloadError: It names more of them than anybody uses.
        """
        codings = ",".join(value.decode("latin-1") for value in response.headers.getlist("Content-Encoding")).lower()
        names = [name for coding in codings.split(",") if (name := coding.strip()) not in {"", "identity"}]
        body = response.body
        if SITE_FILE in request.meta:
            request.meta["download_maxsize"] = self._max_page_bytes
            if names in (["gzip"], ["x-gzip"], ["deflate"]):
                with suppress(zlib.error):  # it is not compressed
                    body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, request.meta[SITE_FILE])
                names = []
        if names[-1:] in (["gzip"], ["x-gzip"]) and not body.startswith(b"\x1f\x8b"):
            names.pop()
        if len(names) > MAX_CONTENT_CODINGS:
            raise DownloadError("invalid content coding")
        headers = response.headers.copy()
        headers.pop("Content-Encoding", None)
        if names:
            headers["Content-Encoding"] = ", ".join(names)
        return response.replace(body=body, headers=headers)


def scheduler_of(crawler: Crawler) -> HostScheduler:
    """Return the scheduler of a crawler that runs."""
    return cast("HostScheduler", crawler.engine and crawler.engine.scheduler)
