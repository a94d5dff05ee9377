"""The process pool in which photographs are read and looked at, never in Scrapy's reactor."""

import asyncio
import ctypes
import multiprocessing
import os
import platform
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from lightmeter.errors import LightmeterError

Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT_BYTES = 32 << 20


class WorkerCrashed(LightmeterError):
    """A worker process died, or did not come back in time, twice at the same work."""


class WorkerPool:
    """A pool that survives the death of its workers.

    Args:
        count: processes; 0 for one a core.
        timeout_s: longest time for one piece of work, in seconds.
        log: file that takes what the workers' libraries print, such as libtiff's warnings.

    Attributes:
        count: processes.
    """

    def __init__(self, count: int, timeout_s: float, log: Path) -> None:
        self.count = count or os.cpu_count() or 1
        self._log = log
        self._timeout_s = timeout_s
        self._pool = self._new_pool()

    async def run(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run a function in a worker; once more in a fresh pool if a worker died at it.

        Raises:
            WorkerCrashed: if that did not help.
        """
        for _ in range(2):
            pool = self._pool
            try:
                future = asyncio.wrap_future(pool.submit(work, *args))
                return await asyncio.wait_for(future, self._timeout_s * self.count * 2)
            except (BrokenProcessPool, TimeoutError):
                self._replace(pool)
        raise WorkerCrashed("the worker process died")

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._pool is broken:  # several pieces of work see the same death
            self._pool = self._new_pool()
            _kill(broken)

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy the reactor and its threads
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=_settle_in, initargs=(self._log,))


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):  # noqa: SLF001 - no public way to end a worker that hangs
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


def _settle_in(log: Path) -> None:
    """Prepare a worker process.

    Ctrl-C is left to the parent, which lets work in hand finish. And the C library keeps some memory that is freed:
    giving each picture's pixels back and asking for them anew costs a third of the time of a small one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
