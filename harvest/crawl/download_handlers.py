"""Bytes that need no network: files, and URLs of a source's own scheme."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.http import Response
from scrapy.utils.asyncio import run_in_thread
from w3lib.url import file_uri_to_path

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.spider import HarvestSpider

Readers = Mapping[str, Callable[[str], bytes]]
"""What reads the URLs of a scheme, by the scheme."""


class LocalFailure(Exception):
    """Bytes could not be read; the message is the sighting's reason."""


class FileHandler(BaseDownloadHandler):
    """Reads ``file:`` URLs, never more than the settings allow."""

    async def download_request(self, request: Request) -> Response:
        """Return the file's bytes."""
        limit = self.crawler.settings.getint("DOWNLOAD_MAXSIZE")
        return Response(request.url, body=await run_in_thread(_read, Path(file_uri_to_path(request.url)), limit))


class SchemeHandler(BaseDownloadHandler):
    """Asks a source for the bytes behind a URL of its own scheme, in a worker process."""

    async def download_request(self, request: Request) -> Response:
        """Return the source's bytes."""
        spider = cast("HarvestSpider", self.crawler.spider)
        readers: Readers = self.crawler.settings["LIGHTMETER_READERS"]
        read = readers[request.url.partition(":")[0]]
        return Response(request.url, body=await spider.workers.run(read, request.url))


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise LocalFailure(f"too many bytes: {path.stat().st_size:,}")
        return path.read_bytes()
    except OSError as error:
        raise LocalFailure(f"unreadable: {error.strerror}") from error
