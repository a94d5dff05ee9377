"""The boxes of one photograph as a person sees them: which there are, and what comes of drawing and removing one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Image, Region
from lightmeter.harvest.catalogue.regions import MANUAL
from lightmeter.labels.datasets.crops import CROP_KINDS, Crop, crop_for
from lightmeter.labels.review.boxes import Box, Size, seen_size, to_display, to_file
from lightmeter.settings import Settings

KINDS = ("inside", "face")
"""What a box can be: the inside of a frame, a face."""

Row = dict[str, Any]
_KEPT = ("x", "y", "width", "height", "orientation", "score", "details")
_NONE: Row = dict.fromkeys(("x", "y", "width", "height"), 0)


def crops_by_kind(settings: Settings) -> dict[str, Crop]:
    """Return by kind of box which ones count in a project."""
    crops = [crop_for(kind, settings) for kind in CROP_KINDS]
    return {crop.region: crop for crop in crops}


@dataclass(frozen=True)
class BoxEdit:
    """What a person had drawn in a photograph before a change, so that it can be undone."""

    kind: str
    rows: Sequence[Row]


def orientation_of(connection: Connection, image: int) -> int:
    """Return how a photograph is turned to be seen, 1 to 8."""
    found = resolved_exif(connection, image, image, ("orientation",)).get(image, {})
    return int(found.get("orientation") or 1)


def seen_boxes(connection: Connection, image: int, stored: Size, crops: Mapping[str, Crop]) -> list[Row]:
    """Return the boxes that count, where they are seen.

    Args:
        connection: to the catalogue.
        image: of the photograph.
        stored: the photograph's size.
        crops: by kind, which boxes count.
    """
    turned = orientation_of(connection, image)
    return [
        {
            "id": row["id"],
            "kind": kind,
            "origin": row["origin"],
            **to_display(Box(row["x"], row["y"], row["width"], row["height"]), stored, turned)._asdict(),
        }
        for kind in KINDS
        for row in _counting(connection, image, crops[kind])
    ]


def draw(connection: Connection, image: int, crop: Crop, seen: Box, instead_of: int | None = None) -> BoxEdit:
    """Keep a box that was drawn on the picture as it is seen, beside those that count already.

    A photograph has one inside; a new one takes the place of the old.

    Args:
        connection: to the catalogue.
        image: of the photograph.
        crop: the kind of box, and which ones count.
        seen: the box.
        instead_of: number of the box that this one corrects.

    Raises:
        UsageError: if there is no such photograph or box to correct, or the box is empty or lies outside the picture.
    """
    row = connection.execute(select(Image.width, Image.height).where(Image.id == image)).one_or_none()
    if row is None:
        raise UsageError("There is no such photograph.")
    stored, turned = Size(*row), orientation_of(connection, image)
    if not _is_inside(seen, seen_size(stored, turned)):
        raise UsageError("The box is empty or lies outside the picture.")
    new = {**to_file(seen, stored, turned)._asdict(), "orientation": turned}
    return _replace(connection, image, crop.region, [*_others(connection, image, crop, instead_of), new])


def remove(connection: Connection, image: int, crop: Crop, number: int) -> BoxEdit:
    """Say that a box is none; where it was the only one, a row without width says that there is none.

    Args:
        connection: to the catalogue.
        image: of the photograph.
        crop: the kind of box, and which ones count.
        number: of the box.

    Raises:
        UsageError: if there is no such box.
    """
    return _replace(connection, image, crop.region, _others(connection, image, crop, number) or [_NONE])


def restore(connection: Connection, image: int, before: BoxEdit) -> None:
    """Put back what a person had drawn before a change."""
    _replace(connection, image, before.kind, before.rows)


def _counting(connection: Connection, image: int, crop: Crop) -> list[Row]:
    query = select(Region.__table__).where(Region.image_id == image, crop.condition).order_by(Region.id)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return rows[-1:] if crop.kind == "border-free" else rows


def _others(connection: Connection, image: int, crop: Crop, number: int | None) -> list[Row]:
    """Return the boxes that stay beside a new one, or without the one of a number."""
    rows = _counting(connection, image, crop)
    if number is not None and number not in [row["id"] for row in rows]:
        raise UsageError("There is no such box.")
    return [] if crop.kind == "border-free" else [row for row in rows if row["id"] != number]


def _replace(connection: Connection, image: int, kind: str, rows: Sequence[Row]) -> BoxEdit:
    """Put boxes in the place of all that a person drew before."""
    drawn = Region.image_id == image, Region.kind == kind, Region.origin == MANUAL
    before = [dict(row) for row in connection.execute(select(Region.__table__).where(*drawn)).mappings()]
    connection.execute(delete(Region).where(*drawn))
    for row in rows:
        kept = {name: row[name] for name in _KEPT if name in row}
        connection.execute(insert(Region).values(image_id=image, kind=kind, origin=MANUAL, **kept))
    return BoxEdit(kind, before)


def _is_inside(box: Box, size: Size) -> bool:
    across = 0 <= box.x < box.x + box.width <= size.width
    return across and 0 <= box.y < box.y + box.height <= size.height
