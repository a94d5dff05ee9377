"""Identity of processes, to recognise files and database rows of processes that have ended."""

import os
import re
import shutil
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PATTERN = re.compile(r"(?P<machine>[A-Za-z0-9_.-]*)~(?P<pid>\d{1,10})~(?P<started>\d{1,20})")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_ENDED = frozenset("ZXx")  # states in /proc/PID/stat: zombie, dead


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that cannot be confused with a later one of the same number.

    Its text has only letters, digits and ``_.-~``, so that it can name a file.

    Attributes:
        machine: Host name and, on Linux, the PID namespace: containers may share a host name.
        pid: Process id.
        started: When it was started, in hundredths of a second.
    """

    machine: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.machine}~{self.pid}~{self.started}"

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Return the identity of the running process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """Return the identity of a process of this machine."""
        return cls(_machine(), pid, _started(pid) or 0)

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity | None":
        """Return the identity that a text names; None if it names none."""
        match = _PATTERN.fullmatch(text)
        return cls(match["machine"], int(match["pid"]), int(match["started"])) if match else None

    @property
    def is_local(self) -> bool:
        """Whether the process belongs to this machine, so that `is_running` can tell."""
        return self.machine == _machine()

    @property
    def is_running(self) -> bool:
        """Whether the process runs on this machine."""
        return self.is_local and _started(self.pid) == self.started

    @property
    def description(self) -> str:
        """Process id and host name, for messages."""
        return f"process {self.pid} on {self.machine.rpartition('_')[0] or self.machine}"


def process_folder(parent: Path) -> Path:
    """Create and return the running process's own folder for temporary files; remove those of ended processes.

    Folders of running processes and of other machines are kept.

    Args:
        parent: Folder that holds one folder per process and nothing else.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for folder in parent.iterdir():
        owner = ProcessIdentity.parse(folder.name)
        if owner is not None and owner.is_local and not owner.is_running:
            shutil.rmtree(folder, ignore_errors=True)
    own = parent / str(ProcessIdentity.current())
    own.mkdir(exist_ok=True)
    return own


@cache
def _machine() -> str:
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
    return f"{host}_{_PID_NAMESPACE.stat().st_ino}" if _PID_NAMESPACE.exists() else f"{host}_0"


def _started(pid: int) -> int | None:
    """Return when a process was started; None if it has ended.

    On Linux these are clock ticks since the boot, because times of day change when the clock is set.
    """
    if _PID_NAMESPACE.exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in _ENDED else int(fields[19])
    import psutil  # only where /proc is missing: predictions need no package for it

    try:
        return round(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None
