"""Atomic writes and file hashes."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path, temporary_folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path next to ``target`` and rename it to ``target`` if the block succeeds.

    Readers see the old file or the new one, never a part, also after a power cut: file and folder are synchronised with
    the disk. After a crash at most an unused ``.tmp-…`` file remains.

    Args:
        target: Final path. Missing parent folders are created.
        temporary_folder: Folder of the temporary path, on the same file system (default: that of the target).

    Example:
        >>> with atomic_path(Path("report.html")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("<h1>Report</h1>")
    """
    new_folder = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=target.suffix, dir=temporary_folder or target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
        _synchronise(target.parent)
        if new_folder:
            _synchronise(target.parent.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(target: Path, content: str | bytes) -> None:
    """Write a file atomically, text as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synchronise(folder: Path) -> None:
    """Write the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
