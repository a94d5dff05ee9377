"""A photo store in a folder."""

import hashlib
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Self

from lightmeter.files import open_regular, synchronise
from lightmeter.processes import process_folder
from lightmeter.store.base import MAX_BYTES, Fault, PhotoStore, StoredFile, StoreError, relative_path

_INCOMING = ".incoming"
_SYNCHRONISED_AT_ONCE = 8


class LocalStore(PhotoStore):
    """Content-addressed files in one folder.

    Files are written to a temporary path in ``.incoming``, synchronised with the disk and moved atomically, so neither
    a kill nor a power cut leaves a partial file. Each process has a folder of its own there; those of ended processes
    are removed. No link below the store is followed.

    Args:
        root: Folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        """Create the folder for temporary files, which the worker processes of this one use as well."""
        self._temporary_folder()
        return self

    def close(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def create(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot create the photo store {self} ({error.strerror}).") from error

    def check_access(self) -> None:
        if not self.root.is_dir():
            raise StoreError(f"The photo store {self} does not exist.")

    def put(self, sha256: str, data: bytes) -> bool:
        repaired = self.stage(sha256, data)
        self.publish([sha256])
        return repaired

    def stage(self, sha256: str, data: bytes) -> bool:
        target = self._target(sha256)
        try:
            size = self.size(sha256)
            if size == len(data) and self.fault(sha256) is None:
                with suppress(PermissionError):  # a file of another user
                    os.utime(target)
                return False
            staged = self._temporary_folder() / sha256
            own = Path(f"{staged}-{os.getpid()}-{threading.get_ident()}")  # others may be staging the same photograph
            try:
                own.write_bytes(data)
                own.chmod(0o444)
                own.replace(staged)
            finally:
                own.unlink(missing_ok=True)
        except OSError as error:
            raise self._write_error(error) from error
        return size is not None

    def publish(self, hashes: Collection[str]) -> None:
        """Synchronise the files with the disk before they get their names, all at once, and then their folders."""
        try:
            taken = self._take_staged(set(hashes))
            if not taken:
                return
            folders = {self._target(sha256).parent for sha256 in taken}
            new = [folder for folder in folders if not folder.exists()]
            _synchronise_all([*taken.values()])
            for folder in new:
                folder.mkdir(parents=True, exist_ok=True)
            for sha256, path in taken.items():
                path.replace(self._target(sha256))
            _synchronise_all([*folders, *([self.root] if new else [])])
        except OSError as error:
            raise self._write_error(error) from error

    def _take_staged(self, hashes: Collection[str]) -> dict[str, Path]:
        """Rename staged files, so that nothing replaces them while they are published; return those that exist."""
        taken = {}
        for sha256 in hashes:
            staged = self._temporary_folder() / sha256
            with suppress(FileNotFoundError):
                taken[sha256] = staged.rename(f"{staged}-{threading.get_ident()}")
        return taken

    def _write_error(self, error: OSError) -> StoreError:
        return StoreError(f"Cannot write to the photo store {self}: {error.strerror}.")

    def read(self, sha256: str) -> bytes:
        try:
            with self._open(sha256) as file:
                if os.fstat(file.fileno()).st_size > MAX_BYTES:
                    raise self._error(sha256, "it is too large", "damaged")
                data = file.read(MAX_BYTES)
        except OSError as error:
            fault: Fault = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            raise self._error(sha256, error.strerror or str(error), fault) from error
        return self._checked(sha256, data)

    def fault(self, sha256: str) -> Fault | None:
        try:
            with self._open(sha256) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "missing"
        except OSError:  # a link, or an unreadable sector
            return "damaged"
        return None if digest == sha256 else "damaged"

    def size(self, sha256: str) -> int | None:
        try:
            return self._target(sha256).stat().st_size
        except OSError:
            return None

    def discard(self, sha256: str) -> bool:
        try:
            self._target(sha256).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"Cannot remove a file of the photo store {self}: {error.strerror}.") from error
        return True

    def files(self, shard: str) -> Iterator[StoredFile]:
        folder = self.root / shard
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with suppress(FileNotFoundError):
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode):
                    yield StoredFile(path.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def path(self, sha256: str) -> Path:
        return self._target(sha256)

    def location(self, sha256: str) -> str:
        return str(self._target(sha256))

    def _temporary_folder(self) -> Path:
        if self._temporary is None:
            try:
                self._temporary = process_folder(self.root / _INCOMING)
            except OSError as error:
                raise StoreError(f"Cannot write to the photo store {self}: {error.strerror}.") from error
        return self._temporary

    def _target(self, sha256: str) -> Path:
        return self.root / relative_path(sha256)

    @contextmanager
    def _open(self, sha256: str) -> Iterator[BufferedReader]:
        """Open a file below the store; no part of the path below it may be a link."""
        folders = [os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folders.append(os.open(sha256[:2], flags, dir_fd=folders[0]))
            with open_regular(sha256, folders[1]) as file:
                yield file
        finally:
            for folder in folders:
                os.close(folder)


def _synchronise_all(paths: Sequence[Path]) -> None:
    """Write files or folders to the disk, several at a time, so that the file system writes its journal once for them.

    Raises:
        OSError: One of them cannot be written.
    """

    def synchronise_part(number: int) -> None:
        for path in paths[number::_SYNCHRONISED_AT_ONCE]:
            synchronise(path)

    number = min(_SYNCHRONISED_AT_ONCE, len(paths))
    with ThreadPoolExecutor(number) as threads:
        deque(threads.map(synchronise_part, range(number)), maxlen=0)
