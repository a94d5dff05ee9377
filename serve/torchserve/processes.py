"""Processes of a server: the supervisor, Java and its workers.

All of them have the temporary folder of the server in their environment, which distinguishes them from later processes
with the same ids, and finds workers whose Java has died.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve.environment import SERVER_VARIABLE, owner_of

if TYPE_CHECKING:  # the supervisor, which uses this module in the container, needs no pydantic
    from lightmeter.serve.torchserve.state import ServerDirectory, ServerState

_KILL_S = 3.0


def processes_of(temporary: str) -> list[psutil.Process]:
    """Return the running processes of a server, without this one."""
    return [process for pid in psutil.pids() if pid != os.getpid() and (process := _process_of(temporary, pid))]


def is_running(state: "ServerState") -> bool:
    """Return whether the server's supervisor is running."""
    return _process_of(state.temporary, state.pid) is not None


def java_pids(state: "ServerState") -> list[int]:
    """Return the process id of the server's Java, if it is running."""
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(state.pid).children()]
    return []


def _process_of(temporary: str, pid: int) -> psutil.Process | None:
    """Return a process if it is running and belongs to a server."""
    try:
        process = psutil.Process(pid)
        belongs = process.environ().get(SERVER_VARIABLE) == temporary
        return process if belongs and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):
        return None


def running_state(directory: "ServerDirectory") -> "ServerState":
    """Return the state of a running server.

    Raises:
        LightmeterError: The server is not running.
    """
    state = directory.read()
    if state is None or not is_running(state):
        raise LightmeterError(f"Server '{directory.name}' is not running; start it with 'lightmeter serve start'.")
    return state


def find_temporaries(directory: Path) -> set[str]:
    """Return the temporary folders of the running servers of a directory, whatever its state file says."""
    folders = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if (folder := process.environ().get(SERVER_VARIABLE)) and owner_of(Path(folder)) == directory:
                folders.add(folder)
    return folders


def request_stop(state: "ServerState", timeout_s: float) -> None:
    """Ask a supervisor to answer the accepted requests and to end, and wait for it.

    Args:
        state: The server.
        timeout_s: Time to wait, in seconds.
    """
    supervisor = _process_of(state.temporary, state.pid)
    if supervisor:
        with suppress(psutil.NoSuchProcess):
            supervisor.terminate()
        psutil.wait_procs([supervisor], timeout=timeout_s)


def terminate(temporary: str, timeout_s: float = _KILL_S) -> int:
    """Terminate the processes of a server, and kill those that do not exit in time.

    Args:
        temporary: Temporary folder of the server.
        timeout_s: Time for processes to exit by themselves, in seconds.

    Returns:
        Number of terminated processes.
    """
    processes = processes_of(temporary)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=timeout_s)
    remaining = processes_of(temporary)
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
