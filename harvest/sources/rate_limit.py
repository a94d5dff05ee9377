"""Rate limits of services, and retries while a service is busy."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt

from lightmeter.errors import LightmeterError

Result = TypeVar("Result")

_FIRST_PAUSE_S, _MAX_PAUSE_S = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The number of requests that a service allows, API calls and downloads together.

    Attributes:
        name: Name of the service.
        per_hour: Requests allowed in any hour.
        hosts: Domains of the service; their subdomains are included.
    """

    name: str
    per_hour: int
    hosts: tuple[str, ...]

    def owns(self, host: str) -> bool:
        """Return whether a host belongs to the service."""
        return any(host == domain or host.endswith(f".{domain}") for domain in self.hosts)


FLICKR = RateLimit("flickr", 3600, ("flickr.com", "staticflickr.com"))
SERVICES = (FLICKR,)


class RateLimiter(Protocol):
    """Limits the requests to a service."""

    def take(self) -> float:
        """Reserve one request and return the seconds to wait before it may be sent."""

    def wait(self) -> None:
        """Reserve one request and wait until it may be sent."""


class RetryLater(Exception):
    """A service is busy or temporarily unavailable.

    Args:
        reason: Short reason.
        pause_s: Seconds after which the service asks to be called again, if it names them.
    """

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def retry_when_busy(
    call: Callable[[], Result], service: str, attempts: int = 6, sleep: Callable[[float], None] = time.sleep
) -> Result:
    """Call a service until it answers, with the pauses that it asks for or exponential ones.

    Args:
        call: Raises `RetryLater` to be called again.
        service: Name of the service, for the error message.
        attempts: Maximum number of calls.
        sleep: Waits a number of seconds.

    Raises:
        LightmeterError: The service is still busy after the last attempt.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(RetryLater), stop=stop_after_attempt(attempts), wait=_pause, sleep=sleep
    )
    try:
        return retrying(call)
    except RetryError as error:
        busy = error.last_attempt.exception()
        raise LightmeterError(f"{service} did not answer after {attempts} attempts ({busy})") from busy


def _pause(state: RetryCallState) -> float:
    busy = state.outcome.exception() if state.outcome else None
    pause_s = busy.pause_s if isinstance(busy, RetryLater) else None
    exponential: float = _FIRST_PAUSE_S * 2 ** (state.attempt_number - 1)
    return min(exponential if pause_s is None else pause_s, _MAX_PAUSE_S)


def retry_after(value: str | None, clock: Callable[[], float] = time.time) -> float | None:
    """Return the seconds in a Retry-After header, given as a number or as a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - clock())
    except (ValueError, OverflowError):
        return None
