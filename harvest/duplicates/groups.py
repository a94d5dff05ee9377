"""Near-duplicates in the catalogue, across sources."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from lightmeter.harvest.catalogue.database.session import read
from lightmeter.harvest.catalogue.models import DuplicateGroup, Image, Inspection, SightingRecord
from lightmeter.harvest.duplicates.stored import Grouping, update_groups
from lightmeter.images.hamming import group_by_hamming_radius

_BATCH = 500
_PHASH = Inspection.measures["phash"].as_string().label("phash")


@dataclass(frozen=True, slots=True)
class DuplicateMember:
    """One photograph of a group of near-duplicates.

    Attributes:
        sha256: SHA-256 of the file.
        width: Width in pixels.
        height: Height in pixels.
        file_size: Size of the file, in bytes.
        distance: Hamming distance between its perceptual hash and that of the group's first photograph.
        sources: Sources of its sightings.
        file: File name at the first sighting that has one.
    """

    sha256: str
    width: int
    height: int
    file_size: int
    distance: int
    sources: tuple[str, ...]
    file: str | None


def near_duplicates(
    engine: Engine, radius: int, where: ColumnElement[bool] | None = None, grouping: Grouping = group_by_hamming_radius
) -> list[list[DuplicateMember]]:
    """Return the groups of photographs that are connected by a chain of near-duplicates, largest groups first.

    The suggested original comes first in each group: the image with the most pixels, then the larger file. The groups
    of the whole catalogue are kept in it and brought up to date here; those of a part of it are made anew.

    Args:
        engine: Engine of the catalogue.
        radius: Maximum Hamming distance of near-duplicates, in bits.
        where: Condition on images.
        grouping: Groups the hashes of the whole catalogue.
    """
    if where is None:
        update_groups(engine, radius, grouping)
    return read(engine, lambda connection: _members(connection, radius, where))


def _members(connection: Connection, radius: int, where: ColumnElement[bool] | None) -> list[list[DuplicateMember]]:
    """Return the members of each group, from one state of the catalogue."""
    rows = connection.execute(_grouped(radius) if where is None else _selected(where)).all()
    hashes = np.array([int(row.phash, 16) for row in rows], dtype=np.uint64)
    if where is None:
        _, first, inverse = np.unique([row.group_id for row in rows], return_index=True, return_inverse=True)
        labels = first[inverse]
    else:
        labels = group_by_hamming_radius(hashes, radius)
    groups = _split_groups(labels)
    sightings = _sightings(connection, [rows[index].id for group in groups for index in group])
    return [
        [
            _member(rows[index], int(hashes[group[0]] ^ hashes[index]).bit_count(), sightings[rows[index].id])
            for index in group
        ]
        for group in groups
    ]


def _selected(where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Return the query of hashed images that match a condition, suggested originals first."""
    query = (
        select(Image.id, Image.sha256, Image.width, Image.height, Image.file_size, _PHASH)
        .join(Inspection, (Inspection.image_id == Image.id) & (Inspection.filter == "duplicates"))
        .where(_PHASH.is_not(None), where)
    )
    return query.order_by((Image.width * Image.height).desc(), Image.file_size.desc(), Image.sha256)


def _grouped(radius: int) -> Select[*tuple[Any, ...]]:
    """Return the query of the images in stored groups of several, with the group of each."""
    of_radius = DuplicateGroup.radius == radius
    groups = select(DuplicateGroup.group_id).where(of_radius).group_by(DuplicateGroup.group_id)
    query = _selected(of_radius & DuplicateGroup.group_id.in_(groups.having(func.count() > 1)))
    return query.join(DuplicateGroup, DuplicateGroup.image_id == Image.id).add_columns(DuplicateGroup.group_id)


def _split_groups(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the indices of each group of several, largest groups first."""
    sizes = np.bincount(labels, minlength=len(labels))
    order = np.argsort(labels, kind="stable")
    order = order[sizes[labels[order]] > 1]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return sorted(np.split(order, starts[1:]) if len(starts) else [], key=lambda group: -len(group))


def _member(row: Row[Any], distance: int, sightings: list[tuple[str, str | None]]) -> DuplicateMember:
    sources = tuple(dict.fromkeys(source for source, _ in sightings))
    file = next((file for _, file in sightings if file), None)
    return DuplicateMember(row.sha256, row.width, row.height, row.file_size, distance, sources, file)


def _sightings(connection: Connection, image_ids: list[int]) -> dict[int, list[tuple[str, str | None]]]:
    """Return source and file name of each image's sightings, earliest first."""
    sightings: dict[int, list[tuple[str, str | None]]] = {image_id: [] for image_id in image_ids}
    for start in range(0, len(image_ids), _BATCH):
        query = (
            select(Image.id, SightingRecord.source, SightingRecord.file)
            .join(SightingRecord, SightingRecord.image_id == Image.id)
            .where(Image.id.in_(image_ids[start : start + _BATCH]))
            .order_by(SightingRecord.id)
        )
        for image_id, source, file in connection.execute(query):
            sightings[image_id].append((source, file))
    return sightings
