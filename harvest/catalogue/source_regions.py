"""Regions that a source told of a photograph, which become rows once its image is there."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select

from lightmeter.harvest.catalogue.models import Region, Sighting
from lightmeter.harvest.sources import PhotoItem as Seen

_KEY = "regions"


def metadata_with_regions(seen: Seen) -> dict[str, Any] | None:
    """Return a sighting's metadata with what it tells of regions, as they wait in the catalogue."""
    told = {_KEY: [asdict(region) for region in seen.regions]} if seen.regions else {}
    return seen.metadata | told or None


def insert_source_regions(connection: Connection, images: Mapping[int, int]) -> None:
    """Insert the regions that sightings tell, unless another sighting of the same image told the same source's.

    Args:
        images: number of the image by number of the sighting.
    """
    told = select(Sighting.id, Sighting.source, Sighting.source_metadata).where(
        Sighting.id.in_(list(images)), Sighting.source_metadata.is_not(None)
    )
    found = connection.execute(told).all()
    waiting = [(images[number], source, about[_KEY]) for number, source, about in found if _KEY in about]
    if not waiting:
        return
    query = select(Region.image_id, Region.origin).where(Region.image_id.in_([image for image, _, _ in waiting]))
    there = {(image, origin) for image, origin in connection.execute(query)}
    rows = []
    for image, source, regions in waiting:
        if (image, source) not in there:
            there.add((image, source))
            rows += [
                region | {"image_id": image, "origin": source, "orientation": 1, "score": None} for region in regions
            ]
    if rows:
        connection.execute(insert(Region), rows)
