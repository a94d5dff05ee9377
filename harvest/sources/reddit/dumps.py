"""Dumps of Reddit as Pushshift and Arctic Shift made them: a post in JSON on each line, packed or not."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from lightmeter.errors import UsageError

_LONGEST_WINDOW = 31
"""Those dumps are packed with ``zstd --long=31``."""


def read_dump(file: Path, subreddits: frozenset[str], first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a dump's posts with the numbers of their lines; lines that are no posts are passed over.

    Args:
        file: the dump.
        subreddits: whose posts are wanted, in small letters.
        first: line to begin with.

    Raises:
        UsageError: if the file cannot be read.
    """
    try:
        with _opened(file) as lines:
            for number, line in enumerate(lines):
                post = _post(line) if number >= first else None
                if post is not None and str(post.get("subreddit", "")).lower() in subreddits:
                    yield number, post
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UsageError(f"The dump {file} cannot be read: {error}.") from error


def _post(line: bytes) -> dict[str, Any] | None:
    try:
        post = json.loads(line)
    except ValueError:
        return None
    return post if isinstance(post, dict) and post.get("id") else None


def _opened(file: Path) -> BinaryIO:
    if file.suffix == ".zst":
        return _zstandard(file)
    unpackers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    unpacked = unpackers.get(file.suffix)
    return cast("BinaryIO", unpacked(file)) if unpacked else file.open("rb")


def _zstandard(file: Path) -> BinaryIO:
    try:
        from backports import zstd
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{file.name} needs the package backports.zstd; install it, or unpack with: zstd -d --long=31 {file.name}"
        ) from error
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _LONGEST_WINDOW}
    return cast("BinaryIO", zstd.open(file, options=options))
