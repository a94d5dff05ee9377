"""Output files: atomic writes, standard output, formats by suffix; and file hashes."""

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from lightmeter.errors import UsageError
from lightmeter.processes import ProcessIdentity
from lightmeter.terminal.console import get_console

STANDARD_OUTPUT = Path("-")
"""Path that stands for standard output on the command line."""

_DESCRIPTORS = tuple(map(Path, ("/dev/fd", "/dev/stdout", "/dev/stderr", "/proc")))
"""Paths of open files, which are links to them."""

_TEMPORARY = ".tmp-"
_CLEANED: set[Path] = set()
"""Folders in which this process has removed what ended processes left."""

F = TypeVar("F")


@contextmanager
def atomic_path(target: Path, temporary_folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path and move it to ``target``, a file of Lightmeter's own, if the block succeeds.

    Readers see the old file or the new one, never a part, also after a power cut: file and folder are synchronised with
    the disk. After a crash at most an unused ``.tmp-…`` file remains, until the next file is written to that folder.
    A link, a pipe or a device at the path, which somebody else may have put there, is replaced by the file. The
    permissions of an existing file are kept; a new file gets those of the umask.

    Args:
        target: Final path. Missing parent folders are created.
        temporary_folder: Folder of the temporary path, on the same file system (default: that of the target).

    Example:
        >>> with atomic_path(Path("metrics.json")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("{}")
    """
    new_folder = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_file(temporary_folder or target.parent, target.suffix) as temporary:
        yield temporary
        synchronise(temporary)
        with suppress(FileNotFoundError):
            if stat.S_ISREG(mode := target.lstat().st_mode):
                temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
        synchronise(target.parent)
        if new_folder:
            synchronise(target.parent.parent)


def write_atomic(target: Path, content: str | bytes) -> None:
    """Write a file with `atomic_path`, text as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def output_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path and move it to ``target``, which a user has named, if the block succeeds.

    Unlike `atomic_path` it follows a symbolic link: the file that it points to is replaced, and not the link. If the
    target is ``-``, a device or a named pipe, which cannot be replaced, the finished content is written to it.

    Args:
        target: Final path. Missing parent folders are created.

    Example:
        >>> with output_path(Path("report.html")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("<h1>Report</h1>")
    """
    if not _is_stream(target):
        with atomic_path(Path(os.path.realpath(target))) as temporary:
            yield temporary
        return
    with _temporary_file(Path(tempfile.gettempdir()), target.suffix) as temporary:
        yield temporary
        _copy_to_stream(temporary, target)


def write_output(target: Path, content: str | bytes) -> None:
    """Write a file with `output_path`, text as UTF-8."""
    with output_path(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def check_output(target: Path) -> None:
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        target: File to write later. Missing parent folders are created.

    Raises:
        UsageError: The file is a folder, or its folder cannot be written to.
    """
    if _is_stream(target):
        return
    if target.is_dir():
        raise UsageError(f"{target} is a folder; choose the name of a file.")
    check_folder(Path(os.path.realpath(target)).parent)


def check_folder(folder: Path) -> None:
    """Create a folder, if it is missing, and check that files can be created in it.

    Raises:
        UsageError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _temporary_file(folder, ""):
            pass
    except OSError as error:
        reason = "it is not a folder" if folder.exists() and not folder.is_dir() else error.strerror
        raise UsageError(f"Cannot write to {folder} ({reason}); choose another folder (--out).") from error


def format_of(target: Path, formats: Mapping[str, F], default: F | None = None) -> F:
    """Return the format of an output file by its suffix, in capitals or not.

    Args:
        target: File to write.
        formats: Formats by suffix, such as ``{".csv": "csv"}``.
        default: Format of standard output, devices and named pipes, which have no suffix.

    Raises:
        UsageError: The suffix is not that of a format.

    Example:
        >>> format_of(Path("a.CSV"), {".csv": "csv", ".parquet": "parquet"})
        'csv'
    """
    suffix = target.suffix.lower()
    if suffix in formats:
        return formats[suffix]
    if default is not None and not suffix and _is_stream(target):
        return default
    *others, last = formats
    choices = f"{', '.join(others)} or {last}" if others else last
    raise UsageError(f"The format of {target} is unknown; choose a file name that ends in {choices}.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: Path | str, folder: int | None = None, *, follow: bool = False) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        path: Path of the file.
        folder: Descriptor of the folder that a relative path starts from (default: the working directory).
        follow: Whether the last part of the path may be a link.

    Raises:
        OSError: The file is missing, a folder, a pipe, a device, or a link that may not be followed.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def check_own_files(folder: Path) -> None:
    """Check that a folder, which somebody else may have made, holds its files itself.

    Through a link, files elsewhere would be read or replaced; a pipe or a device may have no end.

    Raises:
        UsageError: It holds a link, a pipe or a device.
    """
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            with suppress(FileNotFoundError):  # removed meanwhile
                mode = path.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)):
                    kind = "a link" if stat.S_ISLNK(mode) else "no regular file"
                    raise UsageError(f"{path} is {kind}; replace it by the file itself, or remove it.")


def synchronise(path: Path) -> None:
    """Write the content of a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in another one, and remove it afterwards.

    The name holds the identity of the process, so that the next one removes the folders of killed processes.

    Args:
        parent: Folder; created if it is missing, and removed again if it stays empty.
    """
    new_parent = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    folder = _temporary_path(parent)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if new_parent:
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def _temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    temporary = _temporary_path(folder, suffix)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the umask applies
    except OSError as error:
        error.filename = str(folder)  # the name of the temporary file tells nobody anything
        raise
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_path(folder: Path, suffix: str = "") -> Path:
    """Return an unused path in a folder, from which the paths of ended processes are removed."""
    remove_leftovers(folder)
    return folder / f"{_TEMPORARY}{ProcessIdentity.current()}+{secrets.token_hex(4)}{suffix}"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders of ended processes from a folder."""
    if folder not in _CLEANED:
        _CLEANED.add(folder)
        for path in folder.glob(f"{_TEMPORARY}*"):
            owner = ProcessIdentity.parse(path.name.removeprefix(_TEMPORARY).partition("+")[0])
            if owner is not None and owner.is_local and not owner.is_running:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_stream(target: Path) -> bool:
    """Return whether a path cannot be replaced by another file: standard output, a device or a named pipe."""
    if target == STANDARD_OUTPUT or any(target.is_relative_to(folder) for folder in _DESCRIPTORS):
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _copy_to_stream(source: Path, target: Path) -> None:
    with source.open("rb") as content:
        if target == STANDARD_OUTPUT or _is_standard_output(target):
            get_console().write_data(content)
            return
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)  # without creating a file in /dev
        with os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(content, stream)


def _is_standard_output(target: Path) -> bool:
    try:
        return os.path.samestat(target.stat(), os.fstat(1))
    except OSError:
        return False
