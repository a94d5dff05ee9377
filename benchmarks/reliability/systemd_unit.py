"""Run ``deploy/lightmeter.service`` where systemd itself does not run: its commands, user and restrictions.

Needs root. A mount namespace has what the unit asks for: a file system that is read-only but for the project, private
``/tmp`` and ``/dev``, no home folders, read-only kernel settings. Commands run in it as the unit's user, without new
privileges and with the variables that systemd sets. System call filters (`RestrictSUIDSGID`) are left out.
"""

import shlex
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
from typing import Self

_UNIT = Path(__file__).resolve().parents[2] / "deploy/lightmeter.service"
_USER_ID = 987
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAMESPACE = """
set -eu
mount --make-rprivate /
mkdir -p /run/base && mount --bind {base} /run/base
mount -t tmpfs tmpfs /srv && mkdir -p /srv/lightmeter/project /srv/lightmeter/venv
mount --bind {project} /srv/lightmeter/project
mount --bind {venv} /srv/lightmeter/venv
mount --bind {passwd} /etc/passwd
for home in /home /root /run/user; do if [ -d $home ]; then mount -t tmpfs -o mode=755 tmpfs $home; fi; done
mkdir -p {base} && mount --bind /run/base {base}
for folder in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
mkdir /tmp/dev
for name in null zero full random urandom tty; do touch /tmp/dev/$name; mount --bind /dev/$name /tmp/dev/$name; done
mkdir -m 1777 /tmp/dev/shm
mount --rbind /tmp/dev /dev
mount --bind /proc/sys /proc/sys
cut -d' ' -f5 /proc/self/mountinfo | sort -u | while read -r point; do
  case $point in
    /tmp*|/var/tmp|/dev*|/proc|/proc/[0-9]*|/srv/lightmeter/project) ;;
    *) mount -o remount,bind,ro "$point" 2>/dev/null || true ;;
  esac
done
echo ready
exec sleep infinity
"""


class SystemdUnit:
    """The unit's service, for the time of the ``with`` block.

    Args:
        project: Folder of the project; its files are given to the unit's user.
        folder: Folder for files of this class.
        variables: What the unit's ``EnvironmentFile`` holds.
    """

    def __init__(self, project: Path, folder: Path, variables: dict[str, str]) -> None:
        parser = ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(_UNIT, encoding="utf-8")
        self._service = parser["Service"]
        self._project, self._variables = project, variables
        self._passwd = folder / "passwd"
        home = Path(self._service["WorkingDirectory"]).parent
        entry = f"{self._service['User']}:x:{_USER_ID}:{_USER_ID}::{home}:/usr/sbin/nologin\n"
        self._passwd.write_text(Path("/etc/passwd").read_text() + entry)
        self._passwd.chmod(0o644)

    def __enter__(self) -> Self:
        subprocess.run(["chown", "-R", f"{_USER_ID}:{_USER_ID}", self._project], check=True)
        paths = {"base": sys.base_prefix, "venv": sys.prefix, "project": self._project, "passwd": self._passwd}
        script = _NAMESPACE.format(**{name: shlex.quote(str(path)) for name, path in paths.items()})
        self._holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            raise SystemExit("the namespace cannot be made; run this as root")
        self.start_seconds = self._run("ExecStart")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_seconds = self._run("ExecStop")
        self._holder.kill()
        self._holder.wait()

    def can_write(self, path: str) -> bool:
        """Return whether the service can write to a folder, to check the restrictions."""
        return subprocess.run([*self._prefix(), "test", "-w", path], check=False).returncode == 0

    def _run(self, name: str) -> float:
        """Run a command of the unit exactly as it is written; return the seconds that it took."""
        limit = float(self._service["TimeoutStartSec" if name == "ExecStart" else "TimeoutStopSec"])
        start = time.monotonic()
        subprocess.run([*self._prefix(), *shlex.split(self._service[name])], check=True, timeout=limit)
        return time.monotonic() - start

    def _prefix(self) -> list[str]:
        user, directory = self._service["User"], self._service["WorkingDirectory"]
        home = str(Path(directory).parent)
        variables = {"PATH": _PATH, "USER": user, "LOGNAME": user, "HOME": home, "SHELL": "/usr/sbin/nologin"}
        variables |= self._variables
        command = ["nsenter", "--target", str(self._holder.pid), "--mount"]
        command += ["setpriv", f"--reuid={_USER_ID}", f"--regid={_USER_ID}", "--clear-groups"]
        command += ["--no-new-privs"] if self._service["NoNewPrivileges"] == "yes" else []
        command += ["env", "--ignore-environment", *(f"{name}={value}" for name, value in variables.items())]
        return [*command, "sh", "-c", f'cd {directory}; umask {self._service["UMask"]}; exec "$@"', "sh"]
