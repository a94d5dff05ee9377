"""Processes of a server: its main process, the engine and the workers.

The main process is known by its identity. All others have the token of the server in their environment, by which also
workers are found whose engine has died.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lightmeter.errors import LightmeterError
from lightmeter.serve.torchserve.environment import LOGS_VARIABLE, SERVER_VARIABLE

if TYPE_CHECKING:  # the supervisor, which uses this module in the container, needs no pydantic
    from lightmeter.serve.torchserve.state import ServerDirectory, ServerState

_KILL_S = 3.0


def processes_of(token: str) -> list[psutil.Process]:
    """Return the running processes with the token of a server, without this one."""
    return [process for process in psutil.process_iter() if _environment(process).get(SERVER_VARIABLE) == token]


def java_pids(state: "ServerState") -> list[int]:
    """Return the process id of the server's Java, if it is running."""
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(state.pid).children()]
    return []


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return the environment of another process if it is running and may be read."""
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return {}
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def running_state(directory: "ServerDirectory") -> "ServerState":
    """Return the state of a running server.

    Raises:
        LightmeterError: The server is not running.
    """
    state = directory.read()
    if state is None or not state.is_running:
        raise LightmeterError(f"Server '{directory.name}' is not running; start it with 'lightmeter serve start'.")
    return state


def find_servers(logs: Path) -> dict[str, set[str]]:
    """Return the temporary folders of running servers by their tokens, whatever their state files say.

    Args:
        logs: Folder of the logs, which a server's processes have in their environment.
    """
    servers: dict[str, set[str]] = {}
    for environment in map(_environment, psutil.process_iter()):
        if (token := environment.get(SERVER_VARIABLE)) and environment.get(LOGS_VARIABLE) == str(logs):
            servers.setdefault(token, set()).add(environment.get("TMPDIR", ""))
    return servers


def request_stop(state: "ServerState", timeout_s: float) -> None:
    """Ask a main process to answer the accepted requests and to end, and wait for it.

    Args:
        state: The server.
        timeout_s: Time to wait, in seconds.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(state.pid)
        if state.is_running:
            process.terminate()
            psutil.wait_procs([process], timeout=timeout_s)


def terminate(token: str, timeout_s: float = _KILL_S) -> int:
    """Terminate the processes of a server, and kill those that do not exit in time.

    Args:
        token: Token of the server.
        timeout_s: Time for processes to exit by themselves, in seconds.

    Returns:
        Number of terminated processes.
    """
    processes = processes_of(token)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=timeout_s)
    remaining = processes_of(token)
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
