"""Hostile values, documents and files: what strangers, damaged disks and other programs may put where ours is expected."""

import csv
import io
import json
import os
import random
import socket
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from tests.harvest.sources.mutations import HOSTILE_VALUES, as_json, mutate

PATHS = (
    "../../outside/.profile", "../outside/secret.jpg", "/etc/passwd", "/dev/zero", "..", ".", "/", "a/b", "con", "a\\b",
    "nul.txt", "x" * 300, "-rf", "~", "name\n\x1b[31m", "=1+1", "\u202egpj", "a\0b", "",
)  # fmt: skip
NUMBERS = ("nan", "inf", "-inf", "1e999", "-1", "1" * 400, "0x10", "1_000", "٣", "²", "")
VALUES: tuple[Any, ...] = (*HOSTILE_VALUES, *PATHS, *NUMBERS)
QUERIES = (
    "(" * 60 + "iso > 1" + ")" * 60, "not " * 500 + "monochrome", "iso > 1e999", "iso > nan", "make like '" + "%a" * 200 + "'",
    "sha256 in (" + ",".join(["'a'"] * 20_000) + ")", "iso = '", "published_at = 9999", "published_at > '0001-01-01'",
    "'a' = 'a'; drop table images", "iso > 10000000000000000000000000000000", "unknown = 1", "make = '\0'", "make = '\ud83d'",
    "width", "not", "", " ", "iso >", "iso between 1 and", "iso > 1 or " * 2000 + "iso > 1", "a" * 100_000, "\x1b[2J", "iso > -1e-400",
)  # fmt: skip


def value(rng: random.Random) -> Any:
    """Return a hostile value of any type."""
    return rng.choice(VALUES)


def text(rng: random.Random) -> str:
    """Return a text that a user may type or paste where a name, a path or a number is expected."""
    return str(rng.choice([*PATHS, *NUMBERS, *(item for item in HOSTILE_VALUES if isinstance(item, str))]))


def argument(rng: random.Random) -> str:
    """Return a text that a shell can pass to a command."""
    return text(rng).replace("\0", "").encode("utf-8", "replace").decode()[:100_000]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes that were truncated, exchanged, repeated or replaced."""
    position = rng.randrange(len(data) + 1)
    choices: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: data[:position],
        lambda: data[:position] + bytes([rng.randrange(256)]) + data[position + 1 :],
        lambda: data[:position] + rng.randbytes(rng.choice((1, 8, 500))) + data[position:],
        lambda: data + data,
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode("latin-1").encode("utf-16"),
        lambda: bytes(len(data)),
        lambda: rng.randbytes(2000),
        lambda: b"[" * 200_000,
        lambda: b"{" + b'"a":{' * 50_000,
        lambda: b"\n" * 5_000_000,
        lambda: b"a=" + b"[" * 20_000,
        lambda: b"9" * 1_000_000,
        lambda: b"<" * 1_000_000,
    ]
    return rng.choice(choices)()


def document(name: str, data: bytes, rng: random.Random) -> bytes:
    """Return a document of the same format in which values are hostile, or a damaged one."""
    change = _FORMATS.get(Path(name).suffix)
    if change is None or rng.random() < 0.25:
        return damaged(data, rng)
    for _ in range(20):
        with suppress(ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException, AttributeError):
            return change(data, rng)
    return damaged(data, rng)


def make_irregular(path: Path, outside: Path, rng: random.Random) -> str:
    """Put something at a path that is no regular file; return what."""
    kinds: dict[str, Callable[[], object]] = {
        "missing": lambda: None,
        "folder": path.mkdir,
        "link to outside": lambda: path.symlink_to(outside / "secret.jpg"),
        "broken link": lambda: path.symlink_to("nothing"),
        "link to itself": lambda: path.symlink_to(path.name),
        "endless device": lambda: path.symlink_to("/dev/zero"),
        "terminal": lambda: path.symlink_to("/dev/tty"),
        "pipe": lambda: os.mkfifo(path),
        "socket": lambda: _bind(path),
    }
    kind = rng.choice(list(kinds))
    if path.exists() or path.is_symlink():
        path.unlink()
    kinds[kind]()
    return kind


def _bind(path: Path) -> None:
    """Create a socket; a socket's path must be short."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        short = Path(folder, "s")
        server.bind(str(short))
        short.rename(path)


def _json(data: bytes, rng: random.Random) -> bytes:
    return as_json(mutate(json.loads(data), rng)).encode("utf-8", "surrogatepass")


def _toml(data: bytes, rng: random.Random) -> bytes:
    changed = mutate(tomllib.loads(data.decode()), rng)
    return tomli_w.dumps(_without_null(changed)).encode("utf-8", "surrogatepass")


def _csv(data: bytes, rng: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(value(rng))
    if rng.random() < 0.2:
        rng.choice(rows).extend(["x"] * rng.choice((1, 1000)))
    out = io.StringIO()
    csv.writer(out, delimiter=rng.choice(",,,;\t"), lineterminator=rng.choice(["\n", "\r\n"])).writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def _parquet(data: bytes, rng: random.Random) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    index = rng.randrange(table.num_columns)
    name, column = table.column_names[index], table.column(index)
    values = column.to_pylist()
    match rng.randrange(4):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.append_column(name, column)
        case 2:  # the same type
            values[rng.randrange(len(values))] = value(rng)
            table = table.set_column(index, name, pa.array(values, column.type))
        case _:  # another type
            table = table.set_column(index, name, pa.array([value(rng)] * len(values)))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _zip(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    name = rng.choice(list(members))
    match rng.randrange(4):
        case 0:
            del members[name]
        case 1:
            members[str(rng.choice(PATHS)) or "x"] = members.pop(name)
        case 2:
            members[name] = bytes(300_000_000)
        case _:
            members[name] = document(name, members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for member, content in members.items():
            target.writestr(member, content)
    return out.getvalue()


def _without_null(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _without_null(child) for key, child in item.items() if child is not None}
    if isinstance(item, list):
        return [_without_null(child) for child in item if child is not None]
    return item


_FORMATS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": _json, ".toml": _toml, ".csv": _csv, ".parquet": _parquet, ".mar": _zip,
}  # fmt: skip
