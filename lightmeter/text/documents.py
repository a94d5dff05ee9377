"""Read text, JSON and TOML that others may have written or that may be damaged."""

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError

_MAX_BYTES = 200_000_000
_MAX_TOML_BYTES = 2_000_000  # tomllib takes seconds for each megabyte
_MAX_REASON = 200


class InvalidDocument(UsageError):
    """A file is missing, is no regular file, or has another format; the message names it."""


def read_text(file: Path, max_bytes: int = _MAX_BYTES) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        file: The file; a link to it is followed. Pipes and devices, which could be endless, are refused.
        max_bytes: Maximum size.

    Raises:
        InvalidDocument: The file cannot be read, is too large, or is not UTF-8.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidDocument(f"Cannot read {file}: it is no regular file.")
            if status.st_size > max_bytes:
                raise InvalidDocument(f"Cannot read {file}: it has more than {max_bytes:,} bytes.")
            return opened.read(max_bytes).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InvalidDocument(f"Cannot read {file}: {reason}.") from error


def read_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        InvalidDocument: It cannot be read, or is not valid JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(f"{file} is not valid JSON: {_reason(error)}.") from error


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InvalidDocument: It cannot be read, or is not valid TOML.
    """
    text = read_text(file, _MAX_TOML_BYTES)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(f"{file} is not valid TOML: {_reason(error)}.") from error


def toml_files(folder: Path) -> list[Path]:
    """Return the TOML files of a folder in the order of their names; the case of the suffix does not matter."""
    return sorted(file for file in folder.glob("*") if file.suffix.lower() == ".toml")


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MAX_REASON]
