"""Boxes drawn on a photograph (faces, the area inside a border), converted between display and file coordinates."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Exif, Image, Region
from lightmeter.harvest.catalogue.regions import MANUAL
from lightmeter.images.geometry import Box, Size, display_size, to_display, to_file
from lightmeter.labels.datasets.crops import CROP_KINDS, Crop, crop_for
from lightmeter.settings import Settings

BOX_KINDS = ("inside", "face")
"""Kinds of boxes: the area inside a border, a face."""

Row = dict[str, Any]
_COPIED_COLUMNS = ("x", "y", "width", "height", "orientation", "score", "details")
_NO_BOX: Row = dict.fromkeys(Box._fields, 0)


def crops_by_kind(settings: Settings) -> dict[str, Crop]:
    """Return for each kind of box the crop that selects the effective ones in a project."""
    crops = [crop_for(kind, settings) for kind in CROP_KINDS]
    return {crop.region: crop for crop in crops}


def image_size(connection: Connection, image_id: int) -> tuple[Size, int]:
    """Return the size of an image as decoded, and how its pixels still have to be turned (1 to 8).

    Only the file itself turns its pixels: what a source says of them does not.

    Raises:
        UsageError: There is no such image.
    """
    row = connection.execute(select(Image.width, Image.height).where(Image.id == image_id)).one_or_none()
    if row is None:
        raise UsageError(f"No photograph with id {image_id}.")
    exif = Exif.__table__.c
    own = select(exif.orientation).where(exif.image_id == image_id, exif.origin == "file")
    return Size(row.width, row.height), connection.scalar(own) or 1


def display_boxes(connection: Connection, image_id: int, crops: Mapping[str, Crop]) -> list[Row]:
    """Return the effective boxes of a photograph in display coordinates.

    Args:
        connection: Catalogue connection.
        image_id: Primary key of the image.
        crops: As returned by `crops_by_kind`.

    Returns:
        For each box ``id``, ``kind``, ``origin``, ``x``, ``y``, ``width`` and ``height``.
    """
    size, orientation = image_size(connection, image_id)
    return [
        {
            "id": row["id"],
            "kind": kind,
            "origin": row["origin"],
            **to_display(Box(*(row[name] for name in Box._fields)), size, orientation)._asdict(),
        }
        for kind in BOX_KINDS
        for row in _effective_rows(connection, image_id, crops[kind])
    ]


def add_box(connection: Connection, image_id: int, crop: Crop, box: Box, replaces: int | None = None) -> list[Row]:
    """Add a box to the effective boxes of a photograph; a new ``inside`` replaces the previous one.

    Args:
        connection: Catalogue connection.
        image_id: Primary key of the image.
        crop: The kind of box.
        box: The box in display coordinates.
        replaces: Id of a box that the new one replaces.

    Returns:
        The manual boxes before the edit, for `set_manual_boxes`.

    Raises:
        UsageError: There is no such photograph or box, or the box is empty or exceeds the image.
    """
    size, orientation = image_size(connection, image_id)
    if not _is_inside(box, display_size(size, orientation)):
        raise UsageError("The box is empty or exceeds the image.")
    row = {**to_file(box, size, orientation)._asdict(), "orientation": orientation}
    rows = [*_other_rows(connection, image_id, crop, replaces), row]
    return set_manual_boxes(connection, image_id, crop.region, rows)


def remove_box(connection: Connection, image_id: int, crop: Crop, box_id: int) -> list[Row]:
    """Remove a box. An empty row replaces the last box, so that those found by filters do not become effective again.

    Args:
        connection: Catalogue connection.
        image_id: Primary key of the image.
        crop: The kind of box.
        box_id: Id of the box.

    Returns:
        The manual boxes before the edit, for `set_manual_boxes`.

    Raises:
        UsageError: There is no such box.
    """
    rows = _other_rows(connection, image_id, crop, box_id) or [_NO_BOX]
    return set_manual_boxes(connection, image_id, crop.region, rows)


def _effective_rows(connection: Connection, image_id: int, crop: Crop) -> list[Row]:
    query = select(Region.__table__).where(Region.image_id == image_id, crop.condition).order_by(Region.id)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return rows[-1:] if crop.kind == "border-free" else rows


def _other_rows(connection: Connection, image_id: int, crop: Crop, box_id: int | None) -> list[Row]:
    """Return the effective boxes without one of them."""
    rows = _effective_rows(connection, image_id, crop)
    if box_id is not None and box_id not in [row["id"] for row in rows]:
        raise UsageError(f"The photograph has no box with id {box_id}.")
    return [] if crop.kind == "border-free" else [row for row in rows if row["id"] != box_id]


def set_manual_boxes(connection: Connection, image_id: int, kind: str, rows: Sequence[Row]) -> list[Row]:
    """Replace all manual boxes of a kind.

    Args:
        connection: Catalogue connection.
        image_id: Primary key of the image.
        kind: One of `BOX_KINDS`.
        rows: Rows of the table ``regions``.

    Returns:
        The previous rows.
    """
    manual = Region.image_id == image_id, Region.kind == kind, Region.origin == MANUAL
    previous = [dict(row) for row in connection.execute(select(Region.__table__).where(*manual)).mappings()]
    connection.execute(delete(Region).where(*manual))
    for row in rows:
        values = {name: row[name] for name in _COPIED_COLUMNS if name in row}
        connection.execute(insert(Region).values(image_id=image_id, kind=kind, origin=MANUAL, **values))
    return previous


def _is_inside(box: Box, size: Size) -> bool:
    horizontally = 0 <= box.x < box.x + box.width <= size.width
    return horizontally and 0 <= box.y < box.y + box.height <= size.height
