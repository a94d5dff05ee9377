"""A pool of worker processes, which keeps decoding and inspection out of Scrapy's reactor."""

import asyncio
import os
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

from lightmeter.executors.base import WorkerCrashed
from lightmeter.harvest.workers.process import encode
from lightmeter.harvest.workers.worker import TaskNotStarted, Worker, WorkerDied
from lightmeter.project import Project

Result = TypeVar("Result")

_DEPTH = 2


class WorkerPool:
    """Processes that work on one task each and have the next one. The others do not notice if one dies or hangs.

    The time limit of a task begins when a process takes it. If the process dies, the task is tried once more, while no
    other task runs, so that it has the whole memory and can harm no other. The processes end with this one.

    Args:
        count: Number of processes; 0 for one per core.
        timeout_s: Time limit that tasks are expected to keep; a process is killed after twice this time.
        log: File for the output of the processes' libraries, such as libtiff warnings.

    Attributes:
        count: Number of processes.
    """

    def __init__(self, count: int, timeout_s: float, log: Path) -> None:
        self.count = count or os.cpu_count() or 1
        self._tasks = asyncio.Semaphore(_DEPTH * self.count)
        self._alone = asyncio.Lock()
        self._workers = [Worker(2 * timeout_s, log) for _ in range(self.count)]

    @classmethod
    def of_project(cls, project: Project, timeout_s: float | None = None) -> "WorkerPool":
        """Return a pool with the settings of a project, and perhaps another time limit."""
        settings = project.settings.inspect
        return cls(settings.workers, timeout_s or settings.timeout_s, project.logs / "workers.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a function in a worker process.

        Raises:
            WorkerCrashed: The process died, and a second one too.
            WorkerTimedOut: The function took too long.
        """
        message = encode((_pickled(function), args))
        try:
            while True:
                await self._tasks.acquire()
                try:
                    return await self._run(message)  # type: ignore[no-any-return]
                except TaskNotStarted:
                    continue
        except WorkerDied:
            pass
        async with self._alone:
            for _ in range(_DEPTH * self.count):
                await self._tasks.acquire()
            try:
                return await self._run(message)  # type: ignore[no-any-return]
            except WorkerDied as error:
                raise WorkerCrashed("the worker process died") from error
            finally:
                for _ in range(_DEPTH * self.count - 1):
                    self._tasks.release()

    async def _run(self, message: bytes) -> Any:
        """Run a task, whose turn it is, in the process that has the fewest."""
        try:
            return await min(self._workers, key=lambda worker: worker.load).run(message)
        finally:
            self._tasks.release()

    def close(self) -> None:
        """Stop the worker processes, also those that are busy."""
        for worker in self._workers:
            worker.close()


@lru_cache(maxsize=16)
def _pickled(function: Callable[..., Any]) -> bytes:
    """Return the pickle of a function that many tasks repeat, such as a bound method with all settings."""
    return pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
