"""Rate limits of services, and retries while a service is busy."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt

from lightmeter.errors import LightmeterError

Result = TypeVar("Result")

_STARTED = time.time() - time.monotonic()
_HOUR_S = 3600.0
_BURST_SHARE = 0.1
_FIRST_PAUSE_S, _MAX_PAUSE_S = 1.0, 300.0


def steady_time() -> float:
    """Return the seconds since the epoch, without the jumps of a clock that is set while the process runs."""
    return _STARTED + time.monotonic()


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


class RateLimiter:
    """Limits requests by the generic cell rate algorithm (GCRA, ITU-T I.371), a leaky bucket that stores one number.

    A tenth of an hour's requests may be sent at once, the others at an even pace; no hour exceeds the limit. The state
    is a row in a SQLite file, so that restarts and parallel runs share the limit. If the clock of an earlier run was
    wrong, the wait is an hour at most.

    Args:
        file: SQLite file; created if it does not exist.
        rate_limit: The limit.
        clock: Returns the seconds since the epoch.
    """

    def __init__(self, file: Path, rate_limit: RateLimit, clock: Callable[[], float] = steady_time) -> None:
        self._file, self._service, self._clock = file, rate_limit.name, clock
        burst = rate_limit.per_hour * _BURST_SHARE
        self._interval_s = _HOUR_S / (rate_limit.per_hour - burst)
        self._tolerance_s = (burst - 1) * self._interval_s
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rate_limits (service TEXT PRIMARY KEY, due REAL NOT NULL)")

    def take(self) -> float:
        """Reserve one request and return the seconds to wait before it may be sent."""
        now = self._clock()
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT due FROM rate_limits WHERE service = ?", (self._service,)).fetchone()
            due = min(max(row[0] if row else now, now), now + _HOUR_S)
            connection.execute(
                "INSERT OR REPLACE INTO rate_limits VALUES (?, ?)", (self._service, due + self._interval_s)
            )
            connection.execute("COMMIT")
        return max(0.0, float(due) - now - self._tolerance_s)

    def wait(self) -> None:
        """Reserve one request and wait until it may be sent."""
        time.sleep(self.take())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a block.

        Raises:
            LightmeterError: It cannot be read or written.
        """
        try:
            with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = OFF")  # survives a killed process, not a power cut
                yield connection
        except sqlite3.Error as error:
            raise LightmeterError(
                f"Cannot read or write the rate limits in {self._file}: {error}; if the file is damaged, delete it."
            ) from error


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
