"""Rate limits of services, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from lightmeter.harvest.catalogue.leases.rate_limits import CatalogueRateLimiter
from lightmeter.harvest.sources.rate_limit import RateLimit

SERVICE = RateLimit("example", 360, ("example.org",))


class Clock:
    """A clock of a database that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self, _: Connection) -> datetime:
        return self.now


def request_times(engine: Engine, clock: Clock, count: int) -> list[float]:
    """Return the times at which requests may be sent if each waits as long as the limiter says."""
    limiter, times = CatalogueRateLimiter(engine, SERVICE, clock), []
    for _ in range(count):
        clock.now += timedelta(seconds=limiter.take())
        times.append(clock.now.timestamp())
    return times


def test_no_hour_exceeds_the_limit_of_all_workers(engine: Engine) -> None:
    clock = Clock()
    times = request_times(engine, clock, 300) + request_times(engine, clock, 150)  # the second one is another worker
    assert sum(time < times[0] + 3600 for time in times) <= 360
    assert times[30] == times[0]  # a tenth may be sent at once
    assert times[-1] < times[0] + 2 * 3600  # and the limit is used
    assert CatalogueRateLimiter(engine, RateLimit("other", 10, ()), clock).take() == 0


@pytest.mark.parametrize("year", [1, -1])
def test_wait_is_an_hour_at_most_after_the_clock_was_wrong(engine: Engine, year: int) -> None:
    clock = Clock()
    clock.now += timedelta(days=year * 365)
    request_times(engine, clock, 50)
    clock.now -= timedelta(days=year * 365)
    assert CatalogueRateLimiter(engine, SERVICE, clock).take() <= 3600
