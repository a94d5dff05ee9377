"""Nested time limits."""

import contextlib
import time

import pytest

from lightmeter.harvest.time_limit import TimeLimitExceeded, time_limit


@pytest.mark.parametrize(("outer", "inner"), [(0.3, 0.05), (0.05, 30)])
def test_inner_time_limit_does_not_extend_the_outer_limit(outer: float, inner: float) -> None:
    start = time.monotonic()
    with pytest.raises(TimeLimitExceeded), time_limit(outer):
        _sleep_twice(inner)
    assert outer <= time.monotonic() - start < 20


def _sleep_twice(inner: float) -> None:
    with contextlib.suppress(TimeLimitExceeded), time_limit(inner):
        time.sleep(60)
    time.sleep(60)
