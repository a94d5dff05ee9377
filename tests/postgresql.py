"""A temporary PostgreSQL server on a Unix socket."""

import os
import shutil
import subprocess
from pathlib import Path


class PostgresServer:
    """A server in a folder of its own, which can be stopped and started.

    Args:
        name: Name of the folder in /tmp, or its path, which must be short, as it holds the socket. The data that a
            server has left there are used again.

    Attributes:
        url: URL with a placeholder for the name of the database.
    """

    def __init__(self, name: str) -> None:
        programs = find_programs()
        assert programs is not None
        self._home = Path("/tmp") / name
        is_new = not self._home.exists()
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._home, "postgres", "postgres")
            self._as_user = ["runuser", "-u", "postgres", "--"]
        data = self._home / "data"
        self._control = [*self._as_user, str(programs / "pg_ctl"), "-D", str(data), "-s", "-w"]
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "lightmeter", "-A", "trust", "-E", "UTF8", "-N"]
        if is_new:
            subprocess.run([*self._as_user, *initdb], check=True, capture_output=True)
        self.url = f"postgresql+psycopg://lightmeter@/{{name}}?host={self._home}"
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._home} -c fsync=off"
        subprocess.run([*self._control, "-o", options, "-l", str(self._home / "log"), "start"], check=True)

    def stop(self, mode: str = "immediate") -> None:
        subprocess.run([*self._control, "-m", mode, "stop"], check=True)

    def processor_time(self) -> float:
        """Return the processor time, in seconds, of the server and of the sessions that have ended."""
        pid = (self._home / "data" / "postmaster.pid").read_text().split()[0]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self._home)


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None if it is not installed."""
    installed = shutil.which("initdb")
    folders = [Path(installed).parent] if installed else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return folders[0] if folders else None
