"""Tests of rate limits and retries."""

import pytest

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.rate_limit import (
    FLICKR,
    RetryLater,
    retry_after,
    retry_when_busy,
)


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
