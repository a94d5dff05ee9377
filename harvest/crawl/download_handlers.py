"""Scrapy download handlers for local files and for URL schemes of sources."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.http import Response
from scrapy.utils.asyncio import run_in_thread
from w3lib.url import file_uri_to_path

from lightmeter.harvest.crawl.spider import DownloadError, HarvestSpider

Readers = Mapping[str, Callable[[str], bytes]]
"""Functions that return the bytes for a URL, by URL scheme."""


class FileHandler(BaseDownloadHandler):
    """Reads ``file:`` URLs within the size limit of the settings."""

    async def download_request(self, request: Request) -> Response:
        """Return the bytes of the file."""
        limit = self.crawler.settings.getint("DOWNLOAD_MAXSIZE")
        return Response(request.url, body=await run_in_thread(_read, Path(file_uri_to_path(request.url)), limit))


class SchemeHandler(BaseDownloadHandler):
    """Reads URLs of a source's own scheme, in a worker process."""

    async def download_request(self, request: Request) -> Response:
        """Return the bytes that the source reads."""
        spider = cast("HarvestSpider", self.crawler.spider)
        readers: Readers = self.crawler.settings["LIGHTMETER_READERS"]
        read = readers[request.url.partition(":")[0]]
        return Response(request.url, body=await spider.workers.run(read, request.url))


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise DownloadError(f"too many bytes: {path.stat().st_size:,}")
        return path.read_bytes()
    except OSError as error:
        raise DownloadError(f"unreadable: {error.strerror}") from error
