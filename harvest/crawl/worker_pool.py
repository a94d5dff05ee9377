"""Worker processes for decoding and inspection, which must never block Scrapy's reactor."""

import asyncio
import ctypes
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self, TypeVar

from lightmeter.errors import LightmeterError
from lightmeter.project import Project

Result = TypeVar("Result")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_RETAINED_BYTES = 32 << 20
_EXIT_S = 1.0


class WorkerCrashed(LightmeterError):
    """A worker process died twice at a task, or was killed because the task took too long."""


class WorkerTimedOut(WorkerCrashed):
    """A worker process was killed because its task took too long; the message says how long."""


class WorkerPool:
    """Processes that work on one task each. The others do not notice if one dies or hangs.

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
        context = _start_context()
        self._workers = [_Worker(context, 2 * timeout_s, log) for _ in range(self.count)]
        self._threads = ThreadPoolExecutor(self.count, "worker")
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._alone = asyncio.Lock()
        for worker in self._workers:
            self._idle.put_nowait(worker)

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
        """Run a function in a worker process.

        Raises:
            WorkerCrashed: The process died, and a second one too.
            WorkerTimedOut: The function took too long.
        """
        try:
            return await self._run_in(await self._idle.get(), function, args)
        except _WorkerDied:
            pass
        async with self._alone:
            first, *others = [await self._idle.get() for _ in range(self.count)]
            try:
                return await self._run_in(first, function, args)
            except _WorkerDied as error:
                raise WorkerCrashed("the worker process died") from error
            finally:
                for worker in others:
                    self._idle.put_nowait(worker)

    def close(self) -> None:
        """Stop the worker processes, also those that are busy."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown()

    async def _run_in(self, worker: "_Worker", function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
        loop = asyncio.get_running_loop()

        def release(_: Future[Result]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._idle.put_nowait, worker)

        future: Future[Result] = self._threads.submit(worker.run, function, args)
        future.add_done_callback(release)  # also if this coroutine is cancelled meanwhile
        return await asyncio.wrap_future(future)


class _WorkerDied(Exception):
    """The process died while it worked on a task."""


class _Worker:
    """One process, started when it is needed, and the connection to it; used by one thread at a time."""

    def __init__(self, context: Any, timeout_s: float, log: Path) -> None:
        self._context, self._timeout_s, self._log = context, timeout_s, log
        self._process: Any = None
        self._connection: Connection
        self._closed = threading.Event()

    def run(self, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
        """Run a function in the process.

        Raises:
            WorkerTimedOut: The function took too long.
        """
        if not self._send(function, args):  # the process was killed while it was idle
            self._kill()
            if not self._send(function, args):
                raise _WorkerDied
        if not self._connection.poll(self._timeout_s):
            self._kill()
            raise WorkerTimedOut(f"took longer than {self._timeout_s:g} s")
        succeeded, value = self._receive()
        if not succeeded:
            raise value
        return value  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process and start no other."""
        self._closed.set()
        if self._process is not None:
            self._process.kill()

    def _send(self, function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        if self._process is None:
            self._start()
        try:
            self._connection.send((function, args))
        except OSError:
            return False
        return True

    def _start(self) -> None:
        """Start the process and wait until it is ready, so that this time does not count for a task."""
        self._connection, other_end = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(other_end, self._log), daemon=True)
        with _interrupts_blocked():
            process.start()
        other_end.close()
        self._process = process
        if self._closed.is_set():
            process.kill()
        self._receive()

    def _receive(self) -> tuple[bool, Any]:
        try:
            return self._connection.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError) as error:
            self._kill()
            raise _WorkerDied from error

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join(_EXIT_S)
            self._connection.close()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let processes that are started in the block never see Ctrl-C: this one finishes the photographs in flight."""
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _start_context() -> Any:
    """Return how processes are started: from a server that has imported the filters once for all workers.

    A fork of this process would copy the reactor and its threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightmeter.harvest.ingest_task"])
    return context


def _serve(connection: Connection, log: Path) -> None:
    """Answer tasks in a worker process until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _prepare(log)
    with suppress(EOFError, OSError):  # the parent process has ended
        connection.send((True, None))
        while True:
            data = connection.recv_bytes()
            outcome = _outcome(data)
            try:
                connection.send(outcome)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                connection.send((False, RuntimeError(f"the result cannot be sent: {error}")))


def _outcome(task: bytes) -> tuple[bool, Any]:
    """Return whether a function succeeded, and its result or exception."""
    try:
        function, args = pickle.loads(task)  # noqa: S301 - of the parent process
        return True, function(*args)
    except Exception as error:  # noqa: BLE001 - raised in the parent process
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - of this process
        except Exception:  # noqa: BLE001 - an exception of any type
            return False, RuntimeError(f"{type(error).__name__}: {error}")
        return False, error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare(log: Path) -> None:
    """Send output to the log, and let the C library retain freed memory.

    Returning and requesting the pixels of each image anew takes a third of the time of a small one.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _RETAINED_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _RETAINED_BYTES)
