"""An end to work that takes too long, in the process that does it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SOON_S = 0.01


class TimeLimitExceeded(BaseException):
    """The time is over. No ``Exception``, so that no decoder takes it for a broken file."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after some seconds, or when an outer limit is reached, if that is sooner.

    It works in a process's main thread, where pool workers run, on systems with interval timers; elsewhere only the
    pool's own patience ends a picture that takes too long.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitExceeded

    before = signal.signal(signal.SIGALRM, stop)
    began = time.monotonic()
    outer = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    if 0 < outer < seconds:
        signal.setitimer(signal.ITIMER_REAL, outer)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:  # again and again, for who waits for this limit may take the outer one's end for its own
            left = outer - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(left, _SOON_S), _SOON_S)
