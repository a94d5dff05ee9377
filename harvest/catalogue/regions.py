"""Regions of images: which are effective, and those that sources provide."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, insert, or_, select
from sqlalchemy.orm import aliased

from lightmeter.harvest.catalogue.models import Region, SightingRecord
from lightmeter.harvest.sources.base import Sighting

MANUAL = "manual"
"""Origin of regions that were drawn manually."""

_METADATA_KEY = "lightmeter:regions"


def effective_regions(kind: str, min_score: float = 0.0, min_size: int = 0) -> ColumnElement[bool]:
    """Return the condition on the table ``regions`` that a region is of a kind and effective.

    Manual regions replace all others of the same image; a manual region without width means that there is none.

    Args:
        kind: Kind of region, such as ``face``.
        min_score: Minimum score (0 to 1) of regions that a filter detected; a region without a score always passes.
        min_size: Minimum longer side of regions with a score, in pixels.
    """
    manual = aliased(Region)
    annotated = exists().where(manual.image_id == Region.image_id, manual.kind == kind, manual.origin == MANUAL)
    large = (Region.width >= min_size) | (Region.height >= min_size)
    certain = Region.score.is_(None) | ((Region.score >= min_score) & large)
    return and_(
        Region.kind == kind,
        or_(
            and_(Region.origin == MANUAL, Region.width > 0),
            and_(Region.origin != MANUAL, certain, ~annotated.correlate(Region)),
        ),
    )


def metadata_with_regions(item: Sighting) -> dict[str, Any] | None:
    """Return an item's metadata including its regions, which become rows once the image is downloaded."""
    metadata = {name: value for name, value in item.metadata.items() if name != _METADATA_KEY}
    if item.regions:
        metadata[_METADATA_KEY] = [asdict(region) for region in item.regions]
    return metadata or None


def insert_source_regions(connection: Connection, image_ids: Mapping[int, int]) -> None:
    """Insert the regions that sources provide, once per image and source.

    Args:
        connection: Catalogue connection.
        image_ids: Image ids by sighting id.
    """
    query = select(SightingRecord.id, SightingRecord.source, SightingRecord.source_metadata).where(
        SightingRecord.id.in_(list(image_ids)), SightingRecord.source_metadata.is_not(None)
    )
    provided = {
        (image_ids[sighting_id], source): metadata[_METADATA_KEY]
        for sighting_id, source, metadata in connection.execute(query)
        if _METADATA_KEY in metadata
    }
    if not provided:
        return
    query = select(Region.image_id, Region.origin).where(Region.image_id.in_([image for image, _ in provided]))
    existing = {(image, origin) for image, origin in connection.execute(query)}
    common = {"orientation": 1, "score": None}
    rows = [
        region | common | {"image_id": image, "origin": source}
        for (image, source), regions in provided.items()
        if (image, source) not in existing
        for region in regions
    ]
    if rows:
        connection.execute(insert(Region), rows)


def region_kinds(engine: Engine) -> list[str]:
    """Return the kinds of region that exist, and those that built-in filters find, in alphabetical order."""
    with engine.connect() as connection:
        return sorted({"face", "inside", *connection.scalars(select(Region.kind).distinct())})
