"""Remove photographs from a project: bytes, rows and derived files; tombstones keep them from coming back."""

import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, delete, insert, or_, select

from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.models import (
    DatasetRecord,
    DuplicateGroup,
    Exif,
    Image,
    Inspection,
    Label,
    Region,
    SightingRecord,
    Tombstone,
    sighting_key,
    url_key,
)
from lightmeter.project import Project
from lightmeter.store.local import LocalStore

_MANIFEST = "manifest.parquet"
_BATCH = 500
_PREFIX = 16  # digits with which the names of crops begin; other derived files have the whole hash


@dataclass(frozen=True)
class Removal:
    """Photographs to remove.

    Attributes:
        hashes: SHA-256 of each.
        photographs: Number of those that are in the catalogue; the others are only kept from coming.
        datasets: Folders of the data sets that hold some of them, by name.
    """

    hashes: Sequence[str]
    photographs: int
    datasets: dict[str, Path] = field(default_factory=dict)


def select_removal(engine: Engine, where: ColumnElement[bool] | None, hashes: Collection[str]) -> Removal:
    """Return what `remove` removes.

    Args:
        engine: Catalogue engine.
        where: Condition on images; None to use hashes only.
        hashes: SHA-256 of further photographs.
    """

    def work(connection: Connection) -> Removal:
        condition = Image.sha256.in_(hashes)
        selected = condition if where is None else condition | where
        existing = set(connection.scalars(select(Image.sha256).where(selected)))
        return Removal(sorted({*existing, *hashes}), len(existing), datasets_with(connection, {*existing, *hashes}))

    return read(engine, work)


def remove(engine: Engine, project: Project, removal: Removal) -> int:
    """Remove photographs for good; return the number of files deleted.

    Interrupted at any moment, it can be repeated: tombstones come first and rows go last.
    """
    for hashes in _batches(removal.hashes):
        write(engine, partial(_insert_tombstones, hashes=hashes))
    files = _delete_files(project, removal.hashes)
    for name in removal.datasets:
        for cache in (project.state / "cache").glob(f"{name}-*"):
            shutil.rmtree(cache, ignore_errors=True)
    for hashes in _batches(removal.hashes):
        write(engine, partial(_delete_by_hash, hashes=hashes))
    _erase_deleted_rows(engine)
    return files


def remove_unnamed(engine: Engine, project: Project, images: Iterable[int]) -> int:
    """Remove those of some images that no sighting, no label and no data set names; return their number.

    They are what a changed file leaves behind, and may come back.
    """
    candidates = list(images)

    def work(connection: Connection) -> list[str]:
        named = or_(
            Image.id.in_(select(SightingRecord.image_id).where(SightingRecord.image_id.in_(candidates))),
            Image.id.in_(select(Label.image_id).where(Label.image_id.in_(candidates))),
        )
        query = select(Image.sha256).where(Image.id.in_(candidates), ~named)
        hashes = set(connection.scalars(query))
        hashes -= {sha256 for folder in _dataset_folders(connection).values() for sha256 in _held(folder, hashes)}
        _delete_by_hash(connection, hashes)
        return sorted(hashes)

    hashes = write(engine, work) if candidates else []
    if hashes:
        _delete_files(project, hashes)
    return len(hashes)


def datasets_with(connection: Connection, hashes: Collection[str]) -> dict[str, Path]:
    """Return the folders of the data sets that hold some photographs, by name."""
    return {name: folder for name, folder in _dataset_folders(connection).items() if _held(folder, hashes)}


def _dataset_folders(connection: Connection) -> dict[str, Path]:
    rows = connection.execute(select(DatasetRecord.name, DatasetRecord.path).order_by(DatasetRecord.id))
    return {name: Path(path) for name, path in rows}


def _held(folder: Path, hashes: Collection[str]) -> set[str]:
    """Return those of some photographs that a data set holds; none if it cannot be read."""
    import pyarrow.compute as pc  # takes a fifth of a second, and a harvest seldom needs it
    import pyarrow.parquet as pq

    try:
        column = pq.read_table(folder / _MANIFEST, columns=["sha256"])["sha256"]
    except (OSError, KeyError, ValueError):
        return set()
    return set(pc.unique(column).to_pylist()).intersection(hashes)


def _insert_tombstones(connection: Connection, hashes: Sequence[str]) -> None:
    query = select(Image.sha256, SightingRecord.source, SightingRecord.source_id, SightingRecord.media_url)
    query = query.join(SightingRecord, SightingRecord.image_id == Image.id).where(Image.sha256.in_(hashes))
    rows = [
        {
            "sha256": sha256,
            "sighting_key": sighting_key(source, source_id),
            "url_key": url_key(media_url) if media_url else None,
        }
        for sha256, source, source_id, media_url in connection.execute(query)
    ]
    existing = set(connection.scalars(select(Tombstone.sha256).where(Tombstone.sha256.in_(hashes))))
    unseen = set(hashes) - existing - {str(row["sha256"]) for row in rows}
    rows += [{"sha256": sha256, "sighting_key": None, "url_key": None} for sha256 in sorted(unseen)]
    if rows:
        connection.execute(insert(Tombstone), rows)


def _delete_by_hash(connection: Connection, hashes: Collection[str]) -> None:
    images = select(Image.id).where(Image.sha256.in_(hashes))
    ids = connection.scalars(images).all()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # overwrites what is deleted
    sightings = select(SightingRecord.id).where(SightingRecord.image_id.in_(ids))
    for condition in (Exif.image_id.in_(ids), Exif.sighting_id.in_(sightings)):  # each of which uses an index
        connection.execute(delete(Exif).where(condition))
    groups = select(DuplicateGroup.group_id).where(DuplicateGroup.image_id.in_(ids))
    connection.execute(delete(DuplicateGroup).where(DuplicateGroup.group_id.in_(groups)))  # others are grouped anew
    for table in (Inspection, Region, Label, SightingRecord):
        connection.execute(delete(table).where(table.image_id.in_(ids)))
    connection.execute(delete(Image).where(Image.id.in_(ids)))


def _erase_deleted_rows(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which holds earlier versions of pages."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _delete_files(project: Project, hashes: Collection[str]) -> int:
    """Delete originals, and files of the project that are named after them: thumbnails, crops, exported samples."""
    number = sum(project.store.discard(sha256) for sha256 in hashes)
    paths: list[Path] = []
    prefixes = {sha256[:_PREFIX] for sha256 in hashes}
    store = project.store.root.resolve() if isinstance(project.store, LocalStore) else None
    for folder, subfolders, names in os.walk(project.root):
        subfolders[:] = [name for name in subfolders if (Path(folder) / name).resolve() != store]
        paths += [Path(folder) / name for name in names if name[:_PREFIX] in prefixes]
    for path in paths:
        if path.exists():
            path.unlink()
            number += 1
    return number


def _batches(hashes: Sequence[str]) -> Iterable[Sequence[str]]:
    return (hashes[start : start + _BATCH] for start in range(0, len(hashes), _BATCH))
