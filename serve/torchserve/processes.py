"""Processes of a server.

Java is started as the leader of a new session, so its process id is the session id of every worker, even after Java has
exited. The temporary directory in their environment distinguishes them from later processes with the same ids.
"""

import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState


def processes_of(state: ServerState) -> list[psutil.Process]:
    """Return the running processes of a server: Java and its workers, including orphaned workers."""
    return [process for pid in psutil.pids() if (process := _process_of(state, pid))]


def is_running(state: ServerState) -> bool:
    """Return whether the server's Java is running."""
    return _process_of(state, state.pid) is not None


def _process_of(state: ServerState, pid: int) -> psutil.Process | None:
    """Return a process if it is running and belongs to a server."""
    try:
        process = psutil.Process(pid)
        running = os.getsid(pid) == state.pid and process.status() != psutil.STATUS_ZOMBIE
        return process if running and process.environ().get("TMPDIR") == state.temporary else None
    except (psutil.Error, OSError):
        return None


def running_state(directory: ServerDirectory) -> ServerState:
    """Return the state of a running server.

    Raises:
        LightmeterError: The server is not running.
    """
    state = directory.read()
    if state is None or not is_running(state):
        raise LightmeterError(f"Server '{directory.name}' is not running; start it with 'lightmeter serve start'.")
    return state


def terminate(state: ServerState, timeout_s: float = 10.0) -> int:
    """Terminate the processes of a server, and kill those that do not exit in time.

    Args:
        state: The server.
        timeout_s: Time for processes to exit by themselves, in seconds.

    Returns:
        Number of terminated processes.
    """
    processes = processes_of(state)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=timeout_s)
    remaining = processes_of(state)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=timeout_s)
    return len(processes)


def resident_bytes(pids: Iterable[int]) -> int | None:
    """Return the resident memory of processes, or None if none is running; a dead worker has the id −1."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error, ValueError):
            total += psutil.Process(pid).memory_info().rss
    return total or None


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used since their start, in seconds."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error, ValueError):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
