"""Secrets of settings: they are read from variables, or from files that nobody else can read."""

import os
import stat
from pathlib import Path

from lightmeter.errors import UsageError

_SECRET_NAMES = frozenset({"authorization", "cookie", "proxy-authorization"})
_PRIVATE_MODE = 0o600


def resolve_secret(value: str, folder: Path, name: str) -> str:
    """Return the value of a setting: ``env:VARIABLE``, ``file:PATH``, or the text itself.

    Args:
        value: The setting.
        folder: Folder that relative paths start from.
        name: Name of the setting; those that hold credentials must not stand in the settings.

    Raises:
        UsageError: The variable or file is missing or empty, the file is readable by others, or a credential stands in
            the settings.
    """
    kind, _, reference = value.partition(":")
    if kind == "env":
        text = os.environ.get(reference, "")
        if not text:
            raise UsageError(f"Set the environment variable {reference}, which the settings name for {name}.")
    elif kind == "file":
        text = read_private(folder / reference)
    elif name.lower() in _SECRET_NAMES:
        raise UsageError(f"Keep {name} out of the settings: write 'env:VARIABLE' or 'file:PATH' (mode 600).")
    else:
        text = value
    if any(character in text for character in "\r\n"):
        raise UsageError(f"The value of {name} has several lines.")
    return text


def read_private(file: Path) -> str:
    """Return the text of a file that only its owner can read, without surrounding white space.

    Raises:
        UsageError: The file cannot be read, is empty, or is readable by others.
    """
    check_private(file)
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', error)}.") from error
    if not text:
        raise UsageError(f"{file} is empty.")
    return text


def check_private(file: Path) -> None:
    """Check that only the owner of a file can read it.

    Raises:
        UsageError: There is no such file, or others can read it.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    if mode & ~_PRIVATE_MODE & 0o077:
        raise UsageError(f"{file} can be read by others; run: chmod 600 {file}")
