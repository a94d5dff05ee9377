"""What a worker process does: it answers the tasks of a `WorkerPool` until that ends.

A message is the length of a pickle, in eight bytes, and the pickle.
"""

import os
import pickle
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from io import BufferedReader
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from lightmeter.images.memory import keep_freed_memory

LENGTH = struct.Struct("!Q")
"""Format of the length before each message."""

_KEPT_MB = 64


def encode(message: object) -> bytes:
    """Return a message with its length."""
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(content)) + content


def serve(channel: socket.socket, log: Path) -> None:
    """Report that the process is ready, and answer tasks until the channel is closed.

    A task is the pickle of a function and its arguments; an answer says whether the function succeeded, and holds its
    result or exception.

    Args:
        channel: Socket of the parent process.
        log: File for the output of libraries.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _prepare(log)
    with suppress(EOFError, OSError), channel, channel.makefile("rb") as tasks:  # until the parent process ends
        channel.sendall(encode((True, None)))
        while True:
            outcome = _outcome(_read(tasks))
            try:
                answer = encode(outcome)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                answer = encode((False, RuntimeError(f"the result cannot be sent: {error}")))
            channel.sendall(answer)


def _read(file: BufferedReader) -> bytes:
    """Read one message.

    Raises:
        EOFError: There is none.
    """
    header = file.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    return file.read(LENGTH.unpack(header)[0])


def _outcome(task: bytes) -> tuple[bool, Any]:
    """Return whether a function succeeded, and its result or exception."""
    try:
        function, args = pickle.loads(task)  # noqa: S301 - of the parent process
        return True, _function(function)(*args)
    except Exception as error:  # noqa: BLE001 - raised in the parent process
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - of this process
        except Exception:  # noqa: BLE001 - an exception of any type
            return False, RuntimeError(f"{type(error).__name__}: {error}")
        return False, error


@lru_cache(maxsize=16)
def _function(pickled: bytes) -> Callable[..., Any]:
    """Return a function that tasks repeat, such as a bound method with all settings."""
    return pickle.loads(pickled)  # type: ignore[no-any-return]  # noqa: S301 - of the parent process


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare(log: Path) -> None:
    """Send output to the log, and let the C library keep freed memory."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    keep_freed_memory(_KEPT_MB)
