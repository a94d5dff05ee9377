"""Find the photographs that the rows of a table name: by hash, id at the source, file name or path."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from unicodedata import normalize

from sqlalchemy import Connection, Select, select

from lightmeter.harvest.catalogue.models import Image, SightingRecord

_BATCH = 500
_HASH_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass
class NameMatch:
    """The photographs that a name stands for.

    Attributes:
        by: What the name is: ``sha256``, ``source id``, ``file`` (name or path) or ``similar file`` (another case, or
            without a suffix).
        photographs: File name at its source by SHA-256; more than one if the name is ambiguous.
    """

    by: str
    photographs: dict[str, str] = field(default_factory=dict)


def find_photographs(connection: Connection, names: Collection[str]) -> dict[str, NameMatch]:
    """Return the photographs of each name in the closest way that matches at all.

    A path matches if one of the paths is the end of the other: ``holiday/1.jpg`` and ``/home/ann/holiday/1.jpg``.

    Args:
        connection: Catalogue connection.
        names: Hashes or their first 8 digits or more, ids at the source, file names or paths.

    Returns:
        Matches by name; names without any are missing.
    """
    matches: dict[str, NameMatch] = {}
    for by, find in _WAYS.items():
        remaining = [name for name in names if name not in matches]
        for name, sha256, file in find(connection, remaining) if remaining else ():
            match = matches.setdefault(name, NameMatch(by))
            match.photographs[sha256] = file or sha256[:12]
    return matches


def names_of(connection: Connection, hashes: Collection[str]) -> dict[str, str]:
    """Return the file name of photographs at their first source, or their id there, by SHA-256.

    Args:
        connection: Catalogue connection.
        hashes: SHA-256 of photographs.
    """
    names: dict[str, str] = {}
    for batch in _batches(sorted(hashes)):
        for source_id, file, sha256 in _rows(connection, _sightings().where(Image.sha256.in_(batch))):
            names.setdefault(sha256, file or source_id)
    return names


def _by_hash(connection: Connection, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    prefixes = {name: name.strip().lower() for name in names}
    whole = {prefix: name for name, prefix in prefixes.items() if len(prefix) == 64}
    for batch in _batches(list(whole)):
        for sha256 in connection.scalars(select(Image.sha256).where(Image.sha256.in_(batch))):
            yield whole[sha256], sha256, ""
    for name, prefix in prefixes.items():
        if len(prefix) < 64 and _HASH_PREFIX.fullmatch(prefix):
            query = select(Image.sha256).where(Image.sha256 >= prefix, Image.sha256 < prefix + "g").limit(5)
            for sha256 in connection.scalars(query):
                yield name, sha256, ""


def _by_id(connection: Connection, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    for batch in _batches(list(names)):
        for source_id, file, sha256 in _rows(connection, _sightings().where(SightingRecord.source_id.in_(batch))):
            yield source_id, sha256, file


def _by_file(connection: Connection, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    by_last: defaultdict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for name in names:
        parts = _parts(name)
        if parts:
            by_last[parts[-1]].append((name, parts))
    for source_id, file, sha256 in _rows(connection, _sightings().execution_options(yield_per=2_000)):
        for path in {_parts(file or ""), _parts(source_id)}:
            for name, parts in by_last.get(path[-1], ()) if path else ():
                length = min(len(path), len(parts))
                if path[-length:] == parts[-length:]:
                    yield name, sha256, file or source_id


def _by_similar_file(connection: Connection, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        parts = _parts(name.casefold())
        if parts:
            by_key[parts[-1]].append(name)
    for source_id, file, sha256 in _rows(connection, _sightings().execution_options(yield_per=2_000)):
        path = PurePosixPath(normalize("NFC", (file or source_id).casefold()).replace("\\", "/"))
        for name in [*by_key.get(path.name, ()), *by_key.get(path.stem, ())]:
            yield name, sha256, file or source_id


def _sightings() -> Select[*tuple[Any, ...]]:
    query = select(SightingRecord.source_id, SightingRecord.file, Image.sha256)
    return query.join(Image, Image.id == SightingRecord.image_id).order_by(SightingRecord.id)


def _rows(connection: Connection, query: Select[*tuple[Any, ...]]) -> Iterator[Any]:
    yield from connection.execute(query)


def _parts(path: str) -> tuple[str, ...]:
    """Return the folders and the name of a path of any system."""
    return tuple(part for part in normalize("NFC", path.strip()).replace("\\", "/").split("/") if part not in ("", "."))


def _batches(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + _BATCH] for start in range(0, len(names), _BATCH))


_WAYS = {"sha256": _by_hash, "source id": _by_id, "file": _by_file, "similar file": _by_similar_file}
