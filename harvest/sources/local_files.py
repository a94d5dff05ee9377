"""Local files of sources: names are bytes, and only regular files are read."""

import os
import stat
from pathlib import Path, PurePath
from urllib.parse import quote

MAX_SIDECAR_BYTES = 4 << 20


def path_id(path: PurePath) -> str:
    r"""Return a path as an identifier; one that is not UTF-8 with ``%`` escapes, and then no other path has the same.

    Example:
        >>> path_id(PurePath("ann/fog.jpg"))
        'ann/fog.jpg'
        >>> path_id(PurePath("ann/fog\udce9.jpg"))
        'file:ann/fog%E9.jpg'
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"file:{quote(os.fsencode(path))}"
    return text


def read_small_file(file: Path, max_bytes: int = MAX_SIDECAR_BYTES) -> bytes:
    """Return the bytes of a regular file; none if it is too large, cannot be read, or is a device, pipe or folder."""
    try:
        with open(file, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return b""
            data = stream.read(max_bytes + 1)
    except (OSError, ValueError):
        return b""
    return data if len(data) <= max_bytes else b""


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would block
