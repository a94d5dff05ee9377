"""Checking a data set that was frozen before: is it still what it says, and does nothing leak?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Connection, select

from harvest.catalogue.resolve import resolved_exif
from harvest.catalogue.tables import Image
from labels.dataset import MANIFEST_FILE, DataSet
from labels.photographs import EXIF_COLUMNS
from lightmeter.files import sha256_of

_SHOWN = 3
_BATCH = 500


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a data set.

    Attributes:
        what: in words.
        count: how many times.
        examples: some of the photographs or groups.
    """

    what: str
    count: int
    examples: tuple[str, ...]

    def sentence(self) -> str:
        """Return the problem to read."""
        shown = ", ".join(one[:16] for one in self.examples)
        return f"{self.count} {self.what} ({shown}{', …' if self.count > len(self.examples) else ''})"


def check(
    dataset: DataSet, connection: Connection | None, advance: Callable[[int], object] = lambda _: None
) -> list[Problem]:
    """Return what is wrong with a data set whose manifest is the one that its spec names.

    Args:
        dataset: as read.
        connection: to the catalogue; None where there is none, and EXIF is not compared.
        advance: told how many photographs were hashed.
    """
    rows = dataset.rows()
    found = [("groups on two sides", _on_two_sides(rows, "group"))]
    if "photographer" in dataset.spec.split.get("group", ()):
        found.append(("photographers on two sides", _on_two_sides(rows, "owner")))
    missing, changed = _files(dataset, rows, advance)
    found += [("photographs are not in the store", missing), ("photographs have other bytes", changed)]
    if connection is not None:
        found.append(("photographs have other EXIF in the catalogue", _other_exif(dataset, connection, rows)))
    return [Problem(what, len(which), tuple(which[:_SHOWN])) for what, which in found if which]


def _on_two_sides(rows: list[dict[str, Any]], column: str) -> list[str]:
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row[column] is not None:
            sides.setdefault(row[column], set()).add(row["split"])
    return sorted(key for key, found in sides.items() if len(found) > 1)


def _files(
    dataset: DataSet, rows: list[dict[str, Any]], advance: Callable[[int], object]
) -> tuple[list[str], list[str]]:
    missing, changed = [], []
    for row in rows:
        file = dataset.store / row["path"]
        if not file.is_file():
            missing.append(row["sha256"])
        elif sha256_of(file) != row["sha256"]:
            changed.append(row["sha256"])
        advance(1)
    return missing, changed


def _other_exif(dataset: DataSet, connection: Connection, rows: list[dict[str, Any]]) -> list[str]:
    frozen = pq.read_schema(dataset.folder / MANIFEST_FILE).names  # older manifests hold fewer columns
    columns = [name for name in EXIF_COLUMNS if name in frozen]
    manifest = {row["sha256"]: [row[name] for name in columns] for row in rows}
    found = _catalogued(connection, sorted(manifest))
    return sorted(sha256 for sha256, exif in found if [exif[name] for name in columns] != manifest[sha256])


def _catalogued(connection: Connection, hashes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for start in range(0, len(hashes), _BATCH):
        batch = hashes[start : start + _BATCH]
        query = select(Image.sha256, Image.id).where(Image.sha256.in_(batch)).order_by(Image.id)
        for sha256, image in connection.execute(query):
            found = resolved_exif(connection, image, image, EXIF_COLUMNS).get(image, {})
            yield sha256, {name: found.get(name) for name in EXIF_COLUMNS}
