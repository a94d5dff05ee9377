"""One worker process and the tasks that were sent to it."""

import asyncio
import multiprocessing
import pickle
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

from lightmeter import plugins
from lightmeter.executors.base import WorkerCrashed
from lightmeter.harvest.workers.process import LENGTH, serve

_PRELOADED = ("lightmeter.harvest.ingest_task", "lightmeter.harvest.workers.process", "onnxruntime")
"""Modules that the server of worker processes imports, as far as they are installed, beside those of the filters."""

_EXIT_S = 1.0
_RECEIVED_BYTES = 1 << 18


class WorkerTimedOut(WorkerCrashed):
    """A worker process was killed because its task took too long; the message says how long."""


class WorkerDied(Exception):
    """The process died while it worked on a task."""


class TaskNotStarted(Exception):
    """The process died or was killed before it began a task."""


class Worker:
    """One process, started when it is needed, and its tasks, of which it works on the first.

    Args:
        timeout_s: Time after which the process is killed.
        log: File for the output of libraries.

    Attributes:
        load: Number of tasks.
    """

    def __init__(self, timeout_s: float, log: Path) -> None:
        self.load = 0
        self._timeout_s, self._log = timeout_s, log
        self._process: Any = None
        self._channel: socket.socket
        self._closed = False
        self._starting = asyncio.Lock()
        self._tasks: deque[asyncio.Future[Any]] = deque()
        self._unsent: deque[memoryview] = deque()
        self._waiting = False  # until the process takes more bytes
        self._received = bytearray()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, message: bytes) -> Any:
        """Run a task in the process.

        Raises:
            WorkerTimedOut: The task took too long.
        """
        self.load += 1
        try:
            return await (await self._send(message))
        finally:
            self.load -= 1

    def close(self) -> None:
        """End the process and start no other."""
        self._closed = True
        if self._process is not None:
            self._stop()

    async def _send(self, message: bytes) -> "asyncio.Future[Any]":
        """Send a task and return the future of its result."""
        async with self._starting:
            if self._process is not None and not self._tasks and not self._process.is_alive():
                self._stop()  # it was killed while it was idle
            if self._process is None:
                await self._start()
            answer = self._expect_answer()
        self._unsent.append(memoryview(message))
        self._send_bytes()
        return answer

    async def _start(self) -> None:
        """Start the process and wait until it is ready, so that this time does not count for a task."""
        self._process, self._channel = await asyncio.to_thread(self._start_process)
        if self._closed:
            self._stop()
            raise WorkerDied
        asyncio.get_running_loop().add_reader(self._channel, self._receive)
        await self._expect_answer()

    def _start_process(self) -> tuple[Any, socket.socket]:
        channel, other_end = socket.socketpair()
        channel.setblocking(False)  # noqa: FBT003
        with other_end, _interrupts_blocked():
            process = _start_context().Process(target=serve, args=(other_end, self._log), daemon=True)
            process.start()
        return process, channel

    def _expect_answer(self) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        if not self._tasks:
            self._deadline = loop.time() + self._timeout_s
        self._tasks.append(loop.create_future())
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._check_time)
        return self._tasks[-1]

    def _send_bytes(self) -> None:
        """Send as many bytes as the process takes, and the rest when it takes more."""
        try:
            while self._unsent:
                message = self._unsent.popleft()
                sent = self._channel.send(message)
                if sent < len(message):
                    self._unsent.appendleft(message[sent:])
        except BlockingIOError:
            self._unsent.appendleft(message)
        except OSError:  # the process has died, which `_receive` notices
            self._unsent.clear()
        loop = asyncio.get_running_loop()
        if bool(self._unsent) != self._waiting:
            self._waiting = not self._waiting
            if self._waiting:
                loop.add_writer(self._channel, self._send_bytes)
            else:
                loop.remove_writer(self._channel)

    def _receive(self) -> None:
        """Receive answers, until the process dies."""
        try:
            data = self._channel.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._fail_tasks(WorkerDied())
            return
        self._received += data
        while len(self._received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            self._set_result(bytes(self._received[LENGTH.size : end]))
            del self._received[:end]

    def _set_result(self, answer: bytes) -> None:
        """Set the result of the task that the process has worked on."""
        task = self._tasks.popleft()
        self._deadline = asyncio.get_running_loop().time() + self._timeout_s
        if task.done():  # nobody awaits it any longer
            return
        try:
            succeeded, value = pickle.loads(answer)  # noqa: S301 - of a process of this pool
        except Exception as error:  # noqa: BLE001 - raised where the task is awaited
            succeeded, value = False, error
        if succeeded:
            task.set_result(value)
        else:
            task.set_exception(value)

    def _check_time(self) -> None:
        """Kill the process if its task takes too long."""
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._tasks and loop.time() >= self._deadline:
            self._fail_tasks(WorkerTimedOut(f"took longer than {self._timeout_s:g} s"))
        elif self._tasks:
            self._timer = loop.call_at(self._deadline, self._check_time)

    def _fail_tasks(self, error: Exception) -> None:
        """Stop the process, whose first task has an error; the others have not begun."""
        tasks = list(self._tasks)
        self._stop()
        for number, task in enumerate(tasks):
            if not task.done():
                task.set_exception(TaskNotStarted() if number else error)

    def _stop(self) -> None:
        process, self._process = self._process, None
        for content in (self._tasks, self._unsent, self._received):
            content.clear()
        self._waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with suppress(RuntimeError):  # there is no loop any longer
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._channel)
            loop.remove_writer(self._channel)
        self._channel.close()
        process.kill()
        process.join(_EXIT_S)


def prepare_processes() -> None:
    """Begin to import the filters in the process that worker processes are forked from.

    Called early, this happens while the calling process imports its own modules.
    """
    if _start_context().get_start_method() == "forkserver":
        with _interrupts_blocked():
            forkserver.ensure_running()


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
    context.set_forkserver_preload([*_PRELOADED, *_filter_modules()])
    return context


@cache
def _filter_modules() -> list[str]:
    """Return the modules of Lightmeter's own filters; an error in another one would end the server."""
    own = (plugin for plugin in plugins.installed("filters").values() if plugin.distribution == "lightmeter")
    return sorted(plugin.entry_point.module for plugin in own)
