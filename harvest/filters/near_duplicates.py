"""Near-duplicates in the catalogue: which photographs show the same picture, whatever source each came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Row, select, true

from lightmeter.harvest.catalogue.models import Image, Inspection, Sighting
from lightmeter.harvest.filters.perceptual_hash import group_by_hamming_radius

_AT_A_TIME = 500

Seen = tuple[tuple[str, ...], str | None]
"""An image's sources, and its name at the first sighting."""


@dataclass(frozen=True, slots=True)
class DuplicateMember:
    """One photograph of a group.

    Attributes:
        distance: bits in which its perceptual hash differs from that of the group's first.
        sources: that it was seen at.
        file: its name at the first of them.
    """

    sha256: str
    width: int
    height: int
    file_size: int
    distance: int
    sources: tuple[str, ...]
    file: str | None


def near_duplicates(
    engine: Engine, radius: int, where: ColumnElement[bool] | None = None
) -> list[list[DuplicateMember]]:
    """Return the groups of photographs that a chain of near-duplicates joins, the largest groups first.

    In a group the picture with the most pixels comes first, then the larger file: the one to keep. Photographs are
    measured when they arrive, and grouped here, so a group is never older than the catalogue.

    Args:
        engine: of the catalogue.
        radius: largest Hamming distance, in bits, at which two photographs count as the same.
        where: which images; None for all.
    """
    measured = Inspection.measures["phash"].as_string()
    query = (
        select(Image.id, Image.sha256, Image.width, Image.height, Image.file_size, measured)
        .join(Inspection, (Inspection.image_id == Image.id) & (Inspection.filter == "duplicates"))
        .where(true() if where is None else where)
        .order_by((Image.width * Image.height).desc(), Image.file_size.desc(), Image.sha256)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
        hashes = np.array([int(row[-1], 16) for row in rows], dtype=np.uint64)
        labels = group_by_hamming_radius(hashes, radius)
        first, number = np.unique(labels, return_counts=True)
        several = sorted(zip(first[number > 1].tolist(), number[number > 1].tolist(), strict=True), key=lambda g: -g[1])
        members = {int(one): np.flatnonzero(labels == one).tolist() for one, _ in several}
        seen = _seen(connection, [rows[place].id for places in members.values() for place in places])
    return [
        [_copy(rows[place], int(hashes[one] ^ hashes[place]).bit_count(), seen) for place in places]
        for one, places in members.items()
    ]


def _copy(row: Row[Any], distance: int, seen: dict[int, Seen]) -> DuplicateMember:
    sources, file = seen[row.id]
    return DuplicateMember(row.sha256, row.width, row.height, row.file_size, distance, sources, file)


def _seen(connection: Connection, images: list[int]) -> dict[int, Seen]:
    """Return each image's sources, and its name at the first sighting."""
    found: dict[int, Seen] = dict.fromkeys(images, ((), None))
    for start in range(0, len(images), _AT_A_TIME):
        query = (
            select(Image.id, Sighting.source, Sighting.file)
            .join(Sighting, Sighting.image_id == Image.id)
            .where(Image.id.in_(images[start : start + _AT_A_TIME]))
            .order_by(Sighting.id)
        )
        for image, source, file in connection.execute(query):
            sources, name = found[image]
            found[image] = (sources if source in sources else (*sources, source), name or file)
    return found
