"""Process pool for decoding and inspection, which must never block Scrapy's reactor."""

import asyncio
import ctypes
import multiprocessing
import os
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from lightmeter.errors import LightmeterError
from lightmeter.project import Project

Result = TypeVar("Result")

_ATTEMPTS = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_RETAINED_BYTES = 32 << 20


class WorkerCrashed(LightmeterError):
    """A worker process died twice at a task, or was killed because it took too long."""


class WorkerPool:
    """Process pool that survives crashes and kills only the worker that hangs.

    Args:
        count: Number of processes; 0 for one per core.
        timeout_s: Time limit that tasks are expected to keep; a worker is killed after twice this time.
        log: File for the output of the workers' libraries, such as libtiff warnings.

    Attributes:
        count: Number of processes.
    """

    def __init__(self, count: int, timeout_s: float, log: Path) -> None:
        self.count = count or os.cpu_count() or 1
        self._timeout_s = 2 * timeout_s
        self._pool = ProcessPool(self.count, initializer=_initialise, initargs=(log,), context=_start_context())

    @classmethod
    def of_project(cls, project: Project) -> "WorkerPool":
        """Return a pool with the settings of a project."""
        settings = project.settings.inspect
        return cls(settings.workers, settings.timeout_s, project.logs / "workers.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a function in a worker process; if the process dies, once more in another one.

        Raises:
            WorkerCrashed: The process died again, or took too long.
        """
        for _ in range(_ATTEMPTS):
            try:
                return await asyncio.wrap_future(self._pool.schedule(function, args, timeout=self._timeout_s))
            except ProcessExpired:
                continue
            except TimeoutError as error:
                raise WorkerCrashed("the worker process did not answer in time") from error
        raise WorkerCrashed("the worker process died")

    def close(self) -> None:
        """Stop the worker processes."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _start_context() -> Any:
    """Return how processes are started: from a server that has imported the filters once for all workers.

    A fork of this process would copy the reactor and its threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightmeter.harvest.ingest_task"])
    return context


def _initialise(log: Path) -> None:
    """Prepare a worker process.

    Ctrl-C is ignored, because the parent process finishes the photographs in flight. The C library retains freed
    memory: returning and requesting the pixels of each image anew takes a third of the time of a small one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _RETAINED_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _RETAINED_BYTES)
