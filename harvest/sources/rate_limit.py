"""Services that photographs come from: how often they may be asked, and patience when they are busy."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

from lightmeter.errors import LightmeterError

Answer = TypeVar("Answer")

_HOUR_S = 3600.0
_AT_ONCE = 0.1
_FIRST_PAUSE_S, _MAX_RETRY_AFTER_S = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A service with one budget of requests for everything that is asked of it, API and media alike.

    Attributes:
        name: of the service.
        per_hour: requests that it allows in any hour.
        hosts: domains that belong to it, with all below them.
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
    """What is left of a service's budget, kept in a file, so that neither a restart nor a second run gets a new one.

    It is a leaky bucket (ITU-T I.371, generic cell rate algorithm): a tenth of an hour's requests may come at once, the
    rest at an even pace, so that no hour ever holds more than the service allows.

    Args:
        file: SQLite file that holds the budgets of all services.
        service: whose budget it is.
        clock: gives seconds since the epoch.
    """

    def __init__(self, file: Path, service: RateLimit, clock: Callable[[], float] = time.time) -> None:
        self._file, self._service, self._clock = file, service, clock
        burst = service.per_hour * _AT_ONCE
        self._interval_s = _HOUR_S / (service.per_hour - burst)
        self._ahead_s = burst * self._interval_s
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS budgets (service TEXT PRIMARY KEY, due REAL NOT NULL)")

    def take(self) -> float:
        """Take one request out of the budget; return the seconds to wait before it may be made."""
        now = self._clock()
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT due FROM budgets WHERE service = ?", (self._service.name,)).fetchone()
            due = max(row[0] if row else now, now)
            values = (self._service.name, due + self._interval_s)
            connection.execute("INSERT OR REPLACE INTO budgets VALUES (?, ?)", values)
            connection.execute("COMMIT")
        return max(0.0, float(due) - now - self._ahead_s + self._interval_s)

    def wait(self) -> None:
        """Take one request out of the budget, and wait until it may be made."""
        time.sleep(self.take())

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; a power cut may
        return connection


class RetryLater(Exception):
    """A service cannot answer now.

    Args:
        reason: what it said.
        pause_s: how long it asks us to stay away, if it says so.
    """

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def retry_when_busy(
    call: Callable[[], Answer], service: str, attempts: int = 6, sleep: Callable[[float], None] = time.sleep
) -> Answer:
    """Call until the service answers, with longer and longer pauses, or the ones that it asks for.

    Args:
        call: raises `Busy` to be called again.
        service: its name, for the sentence if it stays busy.
        attempts: calls at most.
        sleep: waits so many seconds.

    Raises:
        LightmeterError: if it is still busy after the last attempt.
    """
    pause = _FIRST_PAUSE_S
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except RetryLater as busy:
            if attempt == attempts:
                raise LightmeterError(f"{service} did not answer after {attempts} attempts ({busy})") from busy
            sleep(min(pause if busy.pause_s is None else busy.pause_s, _MAX_RETRY_AFTER_S))
            pause *= 2
    raise AssertionError


def retry_after(value: str | None, clock: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - clock())
    except ValueError:
        return None
