"""Groups of near-duplicates in the catalogue, kept up to date as photographs come and go."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, bindparam, delete, select, update

from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.models import DuplicateGroup, Inspection
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


def update_groups(engine: Engine, radius: int, grouping: Grouping) -> int:
    """Bring the stored groups of a radius up to date; return the number of photographs that were grouped.

    Only new photographs are compared with all others, and those whose group has lost a member, or whose hash has
    changed. A group is named after the smallest image id in it.

    Args:
        engine: Catalogue engine.
        radius: Maximum Hamming distance of near-duplicates, in bits.
        grouping: Groups all hashes, if most are new.
    """
    ids, hashes = read(engine, _current)
    stored = read(engine, lambda connection: _stored(connection, radius))
    outdated = np.setdiff1d(stored.ids, ids, assume_unique=True)
    rows = np.searchsorted(ids, stored.ids).clip(max=max(len(ids) - 1, 0))
    if len(ids):
        outdated = np.union1d(outdated, stored.ids[hashes[rows] != stored.hashes])
    broken = np.unique(stored.groups[np.isin(stored.ids, outdated)])
    kept = ~np.isin(stored.groups, broken)
    labels = np.arange(len(ids), dtype=np.int64)
    labels[np.searchsorted(ids, stored.ids[kept])] = np.searchsorted(ids, stored.groups[kept])
    new = ~np.isin(ids, stored.ids[kept])
    before = np.where(new, -1, ids[labels]) if len(ids) else ids
    if new.mean() > _MAX_NEW if len(ids) else False:
        labels = grouping(hashes, radius)
    elif new.any():
        labels = extend_groups(hashes, labels, new, radius)
    groups = ids[labels] if len(ids) else ids
    write(engine, lambda connection: _save(connection, radius, broken, ids, hashes, before, groups))
    return int(new.sum())


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
    columns = (DuplicateGroup.image_id, DuplicateGroup.phash, DuplicateGroup.group_id)
    query = select(*columns).where(DuplicateGroup.radius == radius).order_by(DuplicateGroup.image_id)
    pages = connection.execution_options(yield_per=_BATCH).execute(query).partitions()
    tables = (np.array([tuple(row) for row in rows], np.int64) for rows in pages)
    table = np.concatenate([np.empty((0, 3), np.int64), *tables])
    return _Stored(table[:, 0].copy(), table[:, 1].copy().view(np.uint64), table[:, 2].copy())


def _save(
    connection: Connection,
    radius: int,
    broken: Indices,
    ids: Indices,
    hashes: Hashes,
    before: Indices,
    groups: NDArray[np.int64],
) -> None:
    """Store what has changed: rows of broken groups are replaced, and members of merged groups get another one."""
    of_radius = DuplicateGroup.radius == radius
    for start in range(0, len(broken), _BATCH):
        batch = [int(number) for number in broken[start : start + _BATCH]]
        connection.execute(delete(DuplicateGroup).where(of_radius, DuplicateGroup.group_id.in_(batch)))
    signed = hashes.view(np.int64)
    added, moved = np.flatnonzero(before < 0), np.flatnonzero((before >= 0) & (before != groups))
    for start in range(0, len(added), _BATCH):
        batch_rows = [
            {"radius": radius, "image_id": int(ids[row]), "phash": int(signed[row]), "group_id": int(groups[row])}
            for row in added[start : start + _BATCH]
        ]
        insert_rows(connection, DuplicateGroup, batch_rows)
    if len(moved):
        statement = update(DuplicateGroup.__table__).where(  # type: ignore[arg-type]
            of_radius, DuplicateGroup.image_id == bindparam("image")
        )
        values = [{"image": int(ids[row]), "group_id": int(groups[row])} for row in moved]
        connection.execute(statement, values)
