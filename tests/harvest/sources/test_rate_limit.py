"""Tests of rate limits and retries."""

from pathlib import Path

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.rate_limit import (
    FLICKR,
    RateLimit,
    RateLimiter,
    RetryLater,
    retry_after,
    retry_when_busy,
)

SERVICE = RateLimit("example", 3600, ("example.org",))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request_times(file: Path, clock: Clock, count: int) -> list[float]:
    """Return the times at which requests may be sent if each waits as long as the limiter says."""
    limiter, times = RateLimiter(file, SERVICE, clock), []
    for _ in range(count):
        clock.now += limiter.take()
        times.append(clock.now)
    return times


def test_no_hour_exceeds_limit(tmp_path: Path) -> None:
    times = request_times(tmp_path / "rate-limits.sqlite", Clock(), 4_500)
    first = times[0]
    assert sum(time < first + 3600 for time in times) <= 3600
    assert times[300] == first  # a tenth may be sent at once
    assert times[-1] < first + 2 * 3600  # and the limit is used


def test_restart_does_not_reset_limit(tmp_path: Path) -> None:
    clock = Clock()
    request_times(tmp_path / "rate-limits.sqlite", clock, 1_000)
    before = clock.now
    request_times(tmp_path / "rate-limits.sqlite", clock, 100)  # another process
    assert clock.now - before == pytest.approx(100 * 3600 / 3240, rel=0.01)


@pytest.mark.parametrize("year", [1.0, -1.0])
def test_wait_is_an_hour_at_most_after_the_clock_was_wrong(tmp_path: Path, year: float) -> None:
    clock = Clock()
    clock.now += year * 365 * 86400
    request_times(tmp_path / "rate-limits.sqlite", clock, 400)
    clock.now -= year * 365 * 86400
    assert RateLimiter(tmp_path / "rate-limits.sqlite", SERVICE, clock).take() <= 3600


def test_services_have_separate_limits(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "rate-limits.sqlite"
    request_times(file, clock, 1_000)
    assert RateLimiter(file, RateLimit("other", 10, ()), clock).take() == 0


def test_service_owns_subdomains() -> None:
    assert FLICKR.owns("live.staticflickr.com")
    assert FLICKR.owns("flickr.com")
    assert not FLICKR.owns("notflickr.com")


def test_retry_waits_as_long_as_the_service_requests() -> None:
    pauses: list[float] = []
    replies = iter([RetryLater("a"), RetryLater("b", 7.0), RetryLater("c"), "answer"])

    def call() -> str:
        reply = next(replies)
        if isinstance(reply, RetryLater):
            raise reply
        return reply

    assert retry_when_busy(call, "Example", sleep=pauses.append) == "answer"
    assert pauses == [1.0, 7.0, 4.0]


def test_retry_gives_up_after_attempts() -> None:
    def call() -> str:
        raise RetryLater("HTTP 503")

    with pytest.raises(LightmeterError, match=r"Example did not answer after 3 attempts \(HTTP 503\)"):
        retry_when_busy(call, "Example", attempts=3, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("12", 12.0), ("-3", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0), ("soon", None)],
)
def test_retry_after_reads_seconds_and_dates(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, clock=lambda: 1_792_567_620.0) == seconds
