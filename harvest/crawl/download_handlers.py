"""Scrapy download handlers for the web, for local files and for URL schemes of sources."""

import logging
import os
import stat
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from scrapy import Request, Spider
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError
from scrapy.http import Response
from scrapy.utils.asyncio import run_in_thread
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web._newclient import Request as HttpRequest
from twisted.web.iweb import IResponse

from lightmeter.errors import LightmeterError, os_reason
from lightmeter.harvest.crawl.addresses import PrivateAddress
from lightmeter.harvest.crawl.reasons import DownloadError, HeadersTooLarge
from lightmeter.harvest.crawl.sites.site_rules import SITE_FILE
from lightmeter.harvest.crawl.spider import HarvestSpider

_REMEMBERED_HOSTS = 1024

logger = logging.getLogger(__name__)

Readers = Mapping[str, Callable[[str], bytes]]
"""Functions that return the bytes for a URL, by URL scheme."""


class HttpHandler(HTTP11DownloadHandler):
    """Scrapy's handler, with a limit on the headers of a response, and private addresses told from unknown hosts."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawler = cast("Crawler", _QuietCrawler(crawler))
        self._private_hosts: set[str] = crawler.settings["LIGHTMETER_PRIVATE_HOSTS"]
        limit = crawler.settings.getint("LIGHTMETER_MAX_HEADER_BYTES")
        self._pool._factory = cast("type[_LenientHTTP11ClientFactory]", partial(_Factory, limit))  # noqa: SLF001
        names = cast("Any", endpoints)
        if not hasattr(names._idnaBytes, "cache_info"):  # noqa: SLF001 - Twisted encodes them for each request
            names._idnaBytes = lru_cache(_REMEMBERED_HOSTS)(names._idnaBytes)  # noqa: SLF001

    async def download_request(self, request: Request) -> Response:
        """Return the response to a request.

        Raises:
            PrivateAddress: The host has a private address.
        """
        try:
            return await super().download_request(request)
        except CannotResolveHostError:
            if urlparse_cached(request).hostname in self._private_hosts:
                raise PrivateAddress from None
            raise


class _QuietCrawler:
    """The crawler as the handler sees it: nobody awaits the signals of received bytes of photographs."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler, self.signals = crawler, self

    @property
    def spider(self) -> Spider | None:
        """The spider of the crawl."""
        return self._crawler.spider

    def send_catch_log(self, signal: object, *, request: Request, **arguments: object) -> list[Any]:
        """Send the signals of site files, whose length is limited."""
        if SITE_FILE not in request.meta:
            return []
        return self._crawler.signals.send_catch_log(signal, request=request, **arguments)


class FileHandler(BaseDownloadHandler):
    """Reads ``file:`` URLs within the size limit of the settings."""

    async def download_request(self, request: Request) -> Response:
        """Return the bytes of the file.

        Raises:
            DownloadError: The file cannot be read, is too large or is no regular file.
        """
        path = os.fsdecode(unquote_to_bytes(urlparse_cached(request).path))  # a file name need not be UTF-8
        limit = self.crawler.settings.getint("DOWNLOAD_MAXSIZE")
        return Response(request.url, body=await run_in_thread(_read, path, limit))


class SchemeHandler(BaseDownloadHandler):
    """Reads URLs of a source's own scheme, in a worker process."""

    async def download_request(self, request: Request) -> Response:
        """Return the bytes that the source reads.

        Raises:
            DownloadError: The source cannot read them.
        """
        spider = cast("HarvestSpider", self.crawler.spider)
        readers: Readers = self.crawler.settings["LIGHTMETER_READERS"]
        scheme = request.url.partition(":")[0]
        try:
            data = await spider.workers.run(readers[scheme], request.url)
        except OSError as error:
            raise DownloadError(f"unreadable: {os_reason(error)}") from error
        except LightmeterError as error:
            raise DownloadError(f"unreadable: {str(error).removesuffix('.')}") from error
        except Exception as error:
            logger.exception("%s cannot be read", request.url)
            raise DownloadError(f"unreadable: the source of {scheme}: addresses failed") from error
        if not isinstance(data, bytes):
            raise DownloadError(f"unreadable: the source of {scheme}: addresses returned no bytes")
        _check_size(len(data), self.crawler.settings.getint("DOWNLOAD_MAXSIZE"))
        return Response(request.url, body=data)


class _Parser(_LenientHTTPClientParser):
    """Counts the bytes of status lines and headers, of interim responses too."""

    MAX_LENGTH: int  # of a line
    max_bytes: int
    received = 0

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        self.received += len(line) + 1
        if self.received > self.max_bytes:
            raise HeadersTooLarge
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802
        raise HeadersTooLarge


class _Protocol(_LenientHTTP11ClientProtocol):
    max_bytes: int

    def request(self, request: HttpRequest) -> "Deferred[IResponse]":
        response = super().request(request)
        parser = cast("_Parser", self._parser)
        parser.__class__ = _Parser  # as Scrapy does, because Twisted creates the parser
        parser.max_bytes = parser.MAX_LENGTH = self.max_bytes
        return response


class _Factory(_LenientHTTP11ClientFactory):
    def __init__(self, max_bytes: int, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self._max_bytes = max_bytes

    def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:  # noqa: N802
        protocol = _Protocol(self._quiescentCallback)  # type: ignore[no-untyped-call]
        protocol.max_bytes = self._max_bytes
        return protocol


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DownloadError("unreadable: not a regular file")
            _check_size(status.st_size, limit)
            data = file.read(limit + 1)
    except OSError as error:
        raise DownloadError(f"unreadable: {os_reason(error)}") from error
    except ValueError as error:
        raise DownloadError("unreadable: invalid path") from error
    _check_size(len(data), limit)
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would block


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise DownloadError(f"too many bytes: {size:,}")
