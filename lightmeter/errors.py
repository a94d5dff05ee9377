"""Exceptions that end a command with a one-sentence message and an exit code."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_DISK_FULL_CODES = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_TEXTS = ("no space left on device", "disk is full", "disk quota exceeded")


class LightmeterError(Exception):
    """A command failed.

    The message is one sentence: what is wrong and what to do. The command line prints it on one line of bounded length
    and escapes control characters and line breaks in it, so that it may quote names of strangers.

    Args:
        message: The sentence.
        details: Lines to print below it, such as a query with a mark.

    Attributes:
        exit_code: Exit code of the process.
    """

    exit_code = 1

    def __init__(self, message: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = details


class UsageError(LightmeterError):
    """A command was used incorrectly: an invalid option, path, name or setting."""

    exit_code = 2


class Interrupted(LightmeterError):
    """The user interrupted a command; the message says how to resume."""

    exit_code = 130


@contextmanager
def require_extra(extra: str, package: str) -> Iterator[None]:
    """Raise an error that names the missing extra if the block cannot import a package.

    Args:
        extra: Optional dependency group of Lightmeter.
        package: Package of that group.

    Raises:
        UsageError: The package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise UsageError(f"This command needs {package}: pip install 'lightmeter[{extra}]'.") from error


def os_reason(error: OSError) -> str:
    """Return why the operating system failed, in its own words, whatever text a library has put into the error."""
    return os.strerror(error.errno) if error.errno else "it cannot be read or written"


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or what it was raised from, says that a disk is full.

    Libraries say so in many ways: by the error code of `OSError`, or only in their texts (SQLite, PostgreSQL, Arrow,
    safetensors).
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_FULL_CODES:
            return True
        if any(text in str(cause).lower() for text in _DISK_FULL_TEXTS):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
