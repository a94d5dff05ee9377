"""The photographs of a data set, read from its store by hash alone and checked while they are read."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.files import open_regular
from lightmeter.images.formats import RAW_FORMAT

MAX_BYTES = 2**31
"""Largest photograph that is read."""

SUFFIXES = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "GIF": "gif", "BMP": "bmp",
    "AVIF": "avif", "HEIF": "heic", "JPEG2000": "jp2", "PPM": "ppm", "ICO": "ico", RAW_FORMAT: "jpg",
}  # fmt: skip
"""Formats of photographs by Pillow's name, with the suffix that other programs know; a RAW file is its preview."""


def relative_path(sha256: str) -> str:
    """Return the path of a photograph in a store."""
    return f"{sha256[:2]}/{sha256}"


def read_photograph(store: Path, sha256: str) -> bytes:
    """Return the bytes of a photograph.

    Args:
        store: Folder of the photo store.
        sha256: SHA-256 of the photograph, 64 hexadecimal digits.

    Raises:
        UsageError: The photograph is missing, no regular file, too large, or has other bytes than its hash says.
    """
    try:
        with _open(store, sha256) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise UsageError(f"The photograph {sha256} in the store {store} has {size} bytes, too many to read.")
            data = file.read(MAX_BYTES)
    except OSError as error:
        hint = "Check that the store has not moved since the data set was frozen."
        raise UsageError(
            f"Cannot read the photograph {sha256} in the store {store} ({error.strerror}). {hint}"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UsageError(f"The photograph {sha256} in the store {store} has changed since the data set was frozen.")
    return data


def photograph_problem(store: Path, sha256: str) -> str | None:
    """Return ``missing`` or ``changed``, or None for an unchanged photograph. Its bytes are not kept in memory."""
    try:
        with _open(store, sha256) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "changed"
    return None if digest == sha256 else "changed"


@contextmanager
def _open(store: Path, sha256: str) -> Iterator[BufferedReader]:
    """Open a file below the store; no part of the path below it may be a link."""
    folders = [os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        folders.append(os.open(sha256[:2], flags, dir_fd=folders[0]))
        with open_regular(sha256, folders[1]) as file:
            yield file
    finally:
        for folder in folders:
            os.close(folder)
