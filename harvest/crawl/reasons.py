"""Reasons for photographs and pages that could not be downloaded: sentences of a closed list."""

import logging
from collections.abc import Iterator

from OpenSSL import SSL
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from scrapy.http import Response
from twisted.internet.error import ConnectError, ConnectionClosed, TCPTimedOutError
from twisted.web._newclient import ParseError, RequestGenerationFailed
from twisted.web.client import ResponseFailed

from lightmeter.harvest.catalogue.models import SightingState

UNREACHABLE_ROBOTS = "robots.txt unreachable"
"""Start of the reason of photographs that are refused until their site's robots.txt can be read (RFC 9309)."""
TOO_MANY_REDIRECTS = "too many redirects"

_GONE = {404, 410}
_REDIRECTS = {301, 302, 303, 307, 308}
_PARTIAL_CONTENT = 206

logger = logging.getLogger(__name__)


class DownloadError(Exception):
    """A photograph cannot be downloaded; the message is the reason."""


class HeadersTooLarge(Exception):
    """The headers of a response are longer than the settings allow."""


_REASONS: dict[str, tuple[type[BaseException], ...]] = {  # the first that matches is the reason
    "too many bytes of headers": (HeadersTooLarge,),
    "too many bytes": (DownloadCancelledError,),
    "timed out": (DownloadTimeoutError, TCPTimedOutError, TimeoutError),
    "connection refused": (DownloadConnectionRefusedError,),
    "host not found": (CannotResolveHostError,),
    "TLS error": (SSL.Error,),
    "unsupported address": (UnsupportedURLSchemeError,),
    "refused by the proxy": (TunnelError,),
    "invalid answer": (ParseError,),
    "connection lost": (ResponseDataLossError, ConnectionClosed, DownloadFailedError, ConnectionError),
    "host unreachable": (ConnectError, OSError),
    "invalid address": (RequestGenerationFailed, ValueError),
}
_IGNORED = {"max redirections reached": TOO_MANY_REDIRECTS}  # by Scrapy's own middlewares


def failure_reason(error: BaseException | None) -> tuple[SightingState, str]:
    """Return the state and reason of a photograph whose download raised an exception."""
    if isinstance(error, IgnoreRequest):
        reason = next((reason for start, reason in _IGNORED.items() if str(error).startswith(start)), None)
        return (SightingState.FAILED, reason) if reason else (SightingState.REFUSED, str(error))
    if isinstance(error, DownloadError):
        return SightingState.FAILED, str(error)
    causes = list(_causes(error))
    for reason, kinds in _REASONS.items():
        if any(isinstance(cause, kinds) for cause in causes):
            return SightingState.FAILED, reason
    logger.error("unexpected error of a download", exc_info=error)
    return SightingState.FAILED, "unexpected error"


def status_reason(response: Response) -> tuple[SightingState, str] | None:
    """Return the state and reason of a photograph by the status of its response; None if it was successful."""
    status = response.status
    if status in _GONE:
        return SightingState.GONE, f"HTTP {status}"
    if status in _REDIRECTS and "Location" in response.headers:
        return SightingState.FAILED, "redirect to an unsupported address"
    if status == _PARTIAL_CONTENT and not _is_whole(response):
        return SightingState.FAILED, "partial content"
    return None if is_success(response) else (SightingState.FAILED, f"HTTP {status}")


def is_success(response: Response) -> bool:
    """Return whether the status of a response means success (RFC 9110, section 15.3)."""
    return 200 <= response.status < 300


def _is_whole(response: Response) -> bool:
    """Return whether partial content is the whole file: ``bytes 0-99/100``."""
    header = (response.headers.get("Content-Range") or b"").decode("latin-1")
    start, _, end = header.lower().removeprefix("bytes").strip().partition("-")
    last, _, size = end.partition("/")
    return start == "0" and last.isdigit() and size.isdigit() and int(last) + 1 == int(size) < 10**15


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it wraps."""
    if error is not None:
        yield error
        yield from _causes(error.__cause__)
        if isinstance(error, ResponseFailed):
            for failure in error.reasons:
                yield from _causes(failure.value)
