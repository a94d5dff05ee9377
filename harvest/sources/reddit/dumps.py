"""Dumps of Reddit by Pushshift and Arctic Shift: one post in JSON per line, compressed or not."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import Unreadable
from lightmeter.harvest.sources.json_text import parse_json

_MAX_LINE_BYTES = 16 << 20
_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, zlib.error)
with suppress(ModuleNotFoundError):
    from backports.zstd import ZstdError

    _ERRORS += (ZstdError,)

_WINDOW_LOG = 31
"""The dumps are compressed with ``zstd --long=31``."""


def read_dump(file: Path, subreddits: frozenset[str], first: int) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    """Yield the posts of a dump with their line numbers, and the lines that are no posts; blank lines are skipped.

    Args:
        file: The dump.
        subreddits: Names of the subreddits in lower case.
        first: Number of the first line to read.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        with _open(file) as lines:
            for number, line in enumerate(iter(partial(lines.readline, _MAX_LINE_BYTES), b"")):
                if number < first or not line.strip():
                    continue
                post = _parse(line)
                if post is None:
                    yield number, Unreadable(f"{file}, line {number + 1}", "the line is not a post in JSON")
                elif str(post.get("subreddit", "")).lower() in subreddits:
                    yield number, post
    except _ERRORS as error:
        raise UsageError(f"The dump {file} cannot be read: {error}.") from error


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        post = parse_json(line)
    except ValueError:
        return None
    return post if isinstance(post, dict) else None


def _open(file: Path) -> BinaryIO:
    decompressors: dict[str, Callable[[Path], Any]] = {
        ".zst": _open_zstandard, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
    }  # fmt: skip
    decompressor = decompressors.get(file.suffix.lower())
    return cast("BinaryIO", decompressor(file)) if decompressor else file.open("rb")


def _open_zstandard(file: Path) -> BinaryIO:
    try:
        from backports import zstd
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{file.name} needs the package backports.zstd; install it, or unpack with: zstd -d --long=31 {file.name}"
        ) from error
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return cast("BinaryIO", zstd.open(file, options=options))
