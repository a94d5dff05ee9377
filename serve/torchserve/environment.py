"""The environment in which TorchServe runs: ours, whatever the environment of the command is."""

import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from lightmeter.errors import LightmeterError
from lightmeter.files import open_regular

SERVER_VARIABLE = "LIGHTMETER_SERVER"
"""Marks the processes of a server with its token, a random number that its temporary folder and its state have, too."""

LOGS_VARIABLE = "LOG_LOCATION"
"""TorchServe's variable of the folder of its logs."""

_MARKER = "lightmeter-server"
_MAX_TOKEN_BYTES = 100
_MAX_TEMPORARY_BYTES = 60  # a socket's path, below the temporary folder, may have 107 bytes
_FOREIGN_PREFIXES = ("TS_", "LOG4J_", "LIGHTMETER_")  # read by TorchServe, by its logging, and our own secrets


def new_token() -> str:
    """Return a token for a new server."""
    return secrets.token_hex(16)


def engine_environment(environment: Mapping[str, str], temporary: Path, logs: Path, token: str) -> dict[str, str]:
    """Return the environment of Java and its workers.

    Variables that would change TorchServe's configuration are left out. Text is UTF-8, so that any path can be used,
    and a home directory and a user name exist, which libraries look up.

    Args:
        environment: Environment of this process.
        temporary: Temporary folder of the server.
        logs: Folder for the logs.
        token: Token of the server.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(_FOREIGN_PREFIXES)}
    folder = str(temporary)
    own = {
        "LC_ALL": "C.UTF-8",
        "TMPDIR": folder,
        "TEMP": folder,
        LOGS_VARIABLE: str(logs),
        "METRICS_LOCATION": str(logs),
        SERVER_VARIABLE: token,
    }
    if not Path(kept.get("HOME") or "/nonexistent").is_dir():
        own["HOME"] = folder
    if not _has_user_entry():
        own |= {"USER": "lightmeter", "LOGNAME": "lightmeter"}
    return kept | own


def _has_user_entry() -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwuid(os.getuid()))
    return False


def make_temporary(token: str) -> Path:
    """Create the temporary folder of a server, with a short path, because sockets lie in it.

    Args:
        token: Token of the server, which is noted in the folder.

    Raises:
        LightmeterError: No folder for temporary files can be written.
    """
    refused = []
    for candidate in _temporary_folders():
        if len(os.fsencode(candidate)) > _MAX_TEMPORARY_BYTES:
            refused.append(f"{candidate} (its path is too long for sockets)")
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix="lightmeter-", dir=candidate))
            (folder / _MARKER).write_text(token, encoding="ascii")
        except OSError as error:
            refused.append(f"{candidate} ({error.strerror})")
            continue
        return folder
    raise LightmeterError(f"No folder for sockets and temporary files can be used; tried {', '.join(refused)}.")


def _temporary_folders() -> Iterator[str]:
    for variable in ("TMPDIR", "XDG_RUNTIME_DIR"):
        if folder := os.environ.get(variable):
            yield folder
    yield from ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a new folder is made in one of them


def remove_temporary(temporary: Path, token: str) -> None:
    """Remove the temporary folder of a server; any other folder is left alone.

    Args:
        temporary: The folder.
        token: Token of the server, which the folder must have.
    """
    if _token_of(temporary) == token:
        shutil.rmtree(temporary, ignore_errors=True)


def _token_of(temporary: Path) -> str | None:
    """Return the token of the server that a temporary folder belongs to; None if we did not create the folder."""
    try:
        if temporary.is_symlink() or temporary.stat().st_uid != os.getuid():
            return None
        with open_regular(temporary / _MARKER) as marker:
            return marker.read(_MAX_TOKEN_BYTES).decode("ascii", "replace")
    except OSError:
        return None


def torchserve_folder() -> Path:
    """Return the directory of the package ``ts``.

    Raises:
        LightmeterError: TorchServe is not installed.
    """
    spec = find_spec("ts")
    if spec is None or not spec.submodule_search_locations:
        raise LightmeterError("TorchServe is not installed; run: pip install 'torchserve>=0.12,<0.13'")
    return Path(spec.submodule_search_locations[0])
