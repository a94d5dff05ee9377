"""Time limit for work in the current process, which keeps what was done before the limit."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_REPEAT_S = 0.01


class TimeLimitExceeded(BaseException):
    """The time limit is exceeded. It is not an ``Exception``, so that no decoder handles it as a damaged file."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitExceeded` in the block after a number of seconds, or earlier if an outer limit is exceeded.

    It works in the main thread on systems with interval timers, which is where worker processes run their tasks;
    elsewhere only the worker pool's timeout applies.

    Args:
        seconds: Time limit in seconds.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitExceeded

    previous_handler = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    outer_s = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    if 0 < outer_s < seconds:
        signal.setitimer(signal.ITIMER_REAL, outer_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous_handler)
        if outer_s:  # repeated, because the inner block may have handled the outer limit as its own
            remaining_s = outer_s - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(remaining_s, _REPEAT_S), _REPEAT_S)
