"""Which processes belong to a server, and how they end.

Java is started as the leader of a session of its own, so every worker has its process id as session id, also when
Java itself is gone. The temporary folder in the environment tells them from processes that got the same numbers later.
"""

import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

from lightmeter.serve.torchserve.state import ServerState


def processes_of(state: ServerState) -> list[psutil.Process]:
    """Return the living processes of a server: Java and its workers, also those that outlived Java."""
    return [process for process in psutil.process_iter() if _belongs(process, state)]


def _belongs(process: psutil.Process, state: ServerState) -> bool:
    try:
        if os.getsid(process.pid) != state.pid or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get("TMPDIR") == state.temporary
    except (psutil.Error, OSError):
        return False


def is_alive(state: ServerState) -> bool:
    """Tell whether the server's Java runs."""
    try:
        return _belongs(psutil.Process(state.pid), state)
    except psutil.NoSuchProcess:
        return False


def terminate(state: ServerState, patience_s: float = 10.0) -> int:
    """End a server's processes: politely, and after a while by force.

    Args:
        state: the server.
        patience_s: how long a polite end may take, in seconds.

    Returns:
        How many processes there were.
    """
    processes = processes_of(state)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=patience_s)
    rest = processes_of(state)
    for process in rest:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(rest, timeout=patience_s)
    return len(processes)


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process, or None if it is gone or has no number yet (TorchServe says −1)."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, ValueError):
        return None


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return how long processes have computed since they were started, in seconds; those that are gone count 0."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error, ValueError):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
