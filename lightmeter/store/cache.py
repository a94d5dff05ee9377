"""A bounded cache on this machine of photographs in an object store."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lightmeter.errors import LightmeterError
from lightmeter.files import write_atomic
from lightmeter.store.base import relative_path

_FULL = 0.9  # share of the limit that is left after files were removed
_UNCOUNTED = 0.05  # share of the limit that a process may add before the files are counted again


class ReadCache:
    """Files in a folder, by hash; those that were not read for the longest time are removed when it is full.

    Several processes can share a folder. What cannot be written, for example because the disk is full, is not cached.

    Args:
        folder: The folder; it need not exist yet.
        max_bytes: Maximum size of all files together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._uncounted = max_bytes  # the files are counted when the first one is added

    def path(self, sha256: str) -> Path:
        """Return the path of a photograph, whether it is cached or not."""
        return self.folder / relative_path(sha256)

    def read(self, sha256: str) -> bytes | None:
        """Return the bytes of a photograph; None if it is not cached. A damaged file is removed."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        self.discard(sha256)
        return None

    def add(self, sha256: str, data: bytes) -> None:
        """Add the bytes of a photograph, if they fit."""
        if len(data) > self.max_bytes * _UNCOUNTED:
            return
        with suppress(OSError, LightmeterError):
            self._uncounted += len(data)
            if self._uncounted > self.max_bytes * _UNCOUNTED:
                self._remove_oldest(len(data))
                self._uncounted = 0
            write_atomic(self.path(sha256), data)

    def discard(self, sha256: str) -> None:
        """Remove a photograph, if it is cached."""
        with suppress(OSError):
            self.path(sha256).unlink()

    def _remove_oldest(self, needed: int) -> None:
        """Remove the files that were not read for the longest time, if the cache is nearly full.

        The share that every process may add uncounted is part of the limit.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout), FileLock(self.folder / ".lock", timeout=0):  # another process does it
            files = []
            for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
                with suppress(OSError):
                    status = path.stat()
                    files.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in files) + needed
            if total <= self.max_bytes * (1 - 2 * _UNCOUNTED):
                return
            for _, size, path in sorted(files):
                if total <= self.max_bytes * (_FULL - 2 * _UNCOUNTED):
                    break
                with suppress(OSError):
                    path.unlink()
                total -= size
