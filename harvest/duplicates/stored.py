"""Groups of near-duplicates in the catalogue, kept up to date as photographs come and go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, bindparam, delete, func, select
from sqlalchemy import update as sql_update

from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.models import DuplicateGroup, Image, Inspection
from lightmeter.harvest.duplicates.partitions import extend_groups
from lightmeter.images.hamming import Hashes, Indices

_BATCH = 10_000
_MAX_NEW = 0.1  # share of new hashes up to which extending groups is faster than grouping again

Grouping = Callable[[Hashes, int], Indices]
"""Returns the index of the first member of each hash's group within a radius."""


@dataclass(frozen=True)
class _Stored:
    """Rows of a radius in the order of their image ids: ids, hashes and group ids, each of shape (n,)."""

    ids: Indices
    hashes: Hashes
    groups: Indices
    version: tuple[int, ...]


@dataclass(frozen=True)
class _Update:
    """Groups of all images, and what they were before.

    Attributes:
        version: State of the stored groups that this follows.
        broken: Groups that have lost a member, or in which a hash has changed; all their members are grouped anew.
        ids: Image ids, in ascending order; shape (n,), as of the following.
        hashes: Perceptual hash of each.
        before: Stored group of each, -1 for a new one.
        groups: Group of each.
    """

    version: tuple[int, ...]
    broken: Indices
    ids: Indices
    hashes: Hashes
    before: Indices
    groups: Indices


def update_groups(engine: Engine, radius: int, grouping: Grouping) -> int:
    """Bring the stored groups of a radius up to date; return the number of photographs that were grouped.

    Only new photographs are compared with all others, and those whose group has lost a member, or whose hash has
    changed. A group is named after the smallest image id in it. If another process has changed the groups or removed a
    photograph meanwhile, all is repeated.

    Args:
        engine: Catalogue engine.
        radius: Maximum Hamming distance of near-duplicates, in bits.
        grouping: Groups all hashes, if most are new.
    """
    while True:
        update = _update(engine, radius, grouping)
        if write(engine, lambda connection, update=update: _save(connection, radius, update)):  # type: ignore[misc]
            return int((update.before < 0).sum())


def _update(engine: Engine, radius: int, grouping: Grouping) -> _Update:
    stored = read(engine, lambda connection: _stored(connection, radius))
    ids, hashes = read(engine, _current)
    kept = np.isin(stored.ids, ids, assume_unique=True)
    rows = np.searchsorted(ids, stored.ids[kept])
    kept[kept] = hashes[rows] == stored.hashes[kept]
    broken = np.unique(stored.groups[~kept])
    kept = ~np.isin(stored.groups, broken)
    rows = np.searchsorted(ids, stored.ids[kept])
    labels, before = np.arange(len(ids), dtype=np.int64), np.full(len(ids), -1, np.int64)
    labels[rows], before[rows] = np.searchsorted(ids, stored.groups[kept]), stored.groups[kept]
    new = before < 0
    if new.sum() > _MAX_NEW * len(ids):
        labels = grouping(hashes, radius)
    elif new.any():
        labels = extend_groups(hashes, labels, new, radius)
    return _Update(stored.version, broken, ids, hashes, before, ids[labels])


def _current(connection: Connection) -> tuple[Indices, Hashes]:
    """Return image ids in ascending order, and the perceptual hash of each."""
    query = select(Inspection.image_id, Inspection.measures["phash"].as_string())
    query = query.where(Inspection.filter == "duplicates").order_by(Inspection.image_id)
    ids, hashes = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for rows in connection.execution_options(yield_per=_BATCH).execute(query).partitions():
        hashed = [(image_id, int(digits, 16)) for image_id, digits in rows if digits]
        ids.append(np.array([image_id for image_id, _ in hashed], np.int64))
        hashes.append(np.array([value for _, value in hashed], np.uint64))
    return np.concatenate(ids), np.concatenate(hashes)


def _stored(connection: Connection, radius: int) -> _Stored:
    version = _version(connection, radius)  # first: rows that change afterwards are noticed
    columns = (DuplicateGroup.image_id, DuplicateGroup.phash, DuplicateGroup.group_id)
    query = select(*columns).where(DuplicateGroup.radius == radius).order_by(DuplicateGroup.image_id)
    pages = connection.execution_options(yield_per=_BATCH).execute(query).partitions()
    tables = (np.array([tuple(row) for row in rows], np.int64) for rows in pages)
    table = np.concatenate([np.empty((0, 3), np.int64), *tables])
    return _Stored(table[:, 0].copy(), table[:, 1].copy().view(np.uint64), table[:, 2].copy(), version)


def _version(connection: Connection, radius: int) -> tuple[int, ...]:
    """Return numbers that differ if the groups of a radius do."""
    sums = (func.coalesce(func.sum(column), 0) for column in (DuplicateGroup.image_id, DuplicateGroup.group_id))
    row = connection.execute(select(func.count(), *sums).where(DuplicateGroup.radius == radius)).one()
    return tuple(int(value) for value in row)


def _save(connection: Connection, radius: int, update: _Update) -> bool:
    """Store what has changed, unless groups or photographs are not what they were; return whether it was stored.

    Rows of broken groups are replaced, and members of merged groups get another one.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE duplicate_groups IN SHARE ROW EXCLUSIVE MODE")
    added = np.flatnonzero(update.before < 0)
    if _version(connection, radius) != update.version or not _exist(connection, update.ids[added]):
        return False
    of_radius = DuplicateGroup.radius == radius
    for batch in _batches(update.broken):
        connection.execute(delete(DuplicateGroup).where(of_radius, DuplicateGroup.group_id.in_(batch)))
    signed = update.hashes.view(np.int64)
    for batch in _batches(added):
        rows = zip(update.ids[batch].tolist(), signed[batch].tolist(), update.groups[batch].tolist(), strict=True)
        names = ("image_id", "phash", "group_id")
        insert_rows(
            connection, DuplicateGroup, [{"radius": radius, **dict(zip(names, row, strict=True))} for row in rows]
        )
    moved = np.flatnonzero((update.before >= 0) & (update.before != update.groups))
    if len(moved):
        table: Any = DuplicateGroup.__table__
        statement = sql_update(table).where(of_radius, DuplicateGroup.image_id == bindparam("image"))
        pairs = zip(update.ids[moved].tolist(), update.groups[moved].tolist(), strict=True)
        connection.execute(statement, [{"image": image_id, "group_id": group} for image_id, group in pairs])
    return True


def _exist(connection: Connection, ids: Indices) -> bool:
    """Return whether all images exist; they are not removed before the end of the transaction."""
    queries = (select(Image.id).where(Image.id.in_(batch)).with_for_update(key_share=True) for batch in _batches(ids))
    return sum(len(connection.execute(query).all()) for query in queries) == len(ids)


def _batches(numbers: Indices) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _BATCH):
        yield numbers[start : start + _BATCH].tolist()
