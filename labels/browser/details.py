"""What the page shows of one photograph: its picture, and what is known of it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image
from sqlalchemy import Connection, select

from lightmeter.files import write_atomic
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.images.geometry import Box, Size, display_size, to_display
from lightmeter.images.metadata import strip_metadata
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from lightmeter.labels.annotations.manual import label_history
from lightmeter.labels.browser.boxes import display_boxes, image_size
from lightmeter.labels.browser.predictions import Predictions
from lightmeter.labels.datasets.crops import Crop
from lightmeter.store.base import PhotoStore

_ROTATED_BY_BROWSERS = ("JPEG", "MPO")
_SHOWN_BY_BROWSERS = (*_ROTATED_BY_BROWSERS, "PNG", "GIF", "WEBP")
_THUMBNAIL_SIDE = 320
_COLUMNS = [column for column in EXIF_COLUMNS.values() if column.name != "orientation"]
_NAMES = [column.name for column in _COLUMNS]
_SIGHTING = ("file", "title", "owner", "licence", "source", "page_url", "medium", "tags", "concepts")
_TITLES = {
    "f_number": "aperture",
    "exposure_time_s": "shutter speed",
    "iso": "ISO",
    "focal_length_mm": "focal length",
    "focal_length_35mm": "35-mm equivalent",
    "taken_at": "taken",
    "flash_fired": "flash",
}


def original(store: PhotoStore, sha256: str) -> tuple[bytes, str]:
    """Return a photograph without metadata and its media type, as PNG if browsers might not show it upright.

    Raises:
        OSError: The file cannot be decoded.
        StoreError: It cannot be read.
    """
    data = store.read(sha256)
    with open_image(data) as image:
        upright = image.format in _ROTATED_BY_BROWSERS or pixel_orientation(image) == 1
        if image.format in _SHOWN_BY_BROWSERS and upright:
            return strip_metadata(data).data, "image/jpeg" if image.format in _ROTATED_BY_BROWSERS else PIL.Image.MIME[
                image.format
            ]
        out = io.BytesIO()
        display_image(image).save(out, "PNG")
    return out.getvalue(), "image/png"


def thumbnail(store: PhotoStore, cache: Path, sha256: str) -> tuple[bytes, str]:
    """Return a small upright JPEG of a photograph, from the cache if possible.

    Raises:
        OSError: The file cannot be decoded.
        StoreError: It cannot be read.
    """
    file = cache / f"{sha256}.jpg"
    if not file.is_file():
        out = io.BytesIO()
        display_image(store.read(sha256), _THUMBNAIL_SIDE).save(out, "JPEG", quality=85)
        write_atomic(file, out.getvalue())
    return file.read_bytes(), "image/jpeg"


def photograph_details(
    connection: Connection, image_id: int, crops: Mapping[str, Crop], predictions: Predictions | None
) -> dict[str, Any]:
    """Return what the page shows of one photograph.

    Args:
        connection: Catalogue connection.
        image_id: Primary key of the image.
        crops: As returned by `crops_by_kind`.
        predictions: Predictions to show.

    Returns:
        Id, SHA-256, display size, sightings, formatted EXIF values with their origins, verdicts of filters, label
        history, predictions, and boxes in display coordinates.

    Raises:
        UsageError: There is no such photograph.
    """
    size, orientation = image_size(connection, image_id)
    image = connection.execute(select(Image.sha256, Image.format).where(Image.id == image_id)).one()
    return {
        "id": image_id,
        "sha256": image.sha256,
        "format": image.format,
        "size": display_size(size, orientation)._asdict(),
        "sightings": _sightings(connection, image_id),
        "exif": _exif(connection, image_id),
        "verdicts": _verdicts(connection, image_id),
        "history": [_history_row(row) for row in label_history(connection, image_id)],
        "boxes": display_boxes(connection, image_id, crops),
        "predictions": _predictions(predictions, image.sha256, size, orientation),
    }


def _sightings(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    query = select(*(getattr(SightingRecord, name) for name in _SIGHTING)).where(SightingRecord.image_id == image_id)
    rows = connection.execute(query.order_by(SightingRecord.id)).mappings()
    return [{name: _text(value) for name, value in row.items() if value} for row in rows]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _exif(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    """Return the effective EXIF values in order, each with its origin and the values of other origins that differ."""
    effective = resolved_exif(connection, [image_id], _NAMES).get(image_id, {})
    columns = [Exif.origin, *(getattr(Exif, name) for name in _NAMES)]
    of_sightings = select(*columns).join(SightingRecord, Exif.sighting_id == SightingRecord.id)
    rows = [
        *connection.execute(select(*columns).where(Exif.image_id == image_id).order_by(Exif.id)),
        *connection.execute(of_sightings.where(SightingRecord.image_id == image_id).order_by(Exif.id)),
    ]
    values = []
    for column in _COLUMNS:
        if column.name not in effective:
            continue
        value = effective[column.name]
        stated = [(row.origin, getattr(row, column.name)) for row in rows]
        values.append(
            {
                "name": column.name,
                "title": _TITLES.get(column.name, column.name),
                "text": column.format(value),
                "origin": next((origin for origin, other in stated if other == value), ""),
                "others": [
                    {"origin": origin, "text": column.format(other)}
                    for origin, other in stated
                    if other not in (None, value)
                ],
            }
        )
    return values


def _verdicts(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    query = select(Inspection.filter, Inspection.verdict, Inspection.reason, Inspection.measures)
    rows = connection.execute(query.where(Inspection.image_id == image_id).order_by(Inspection.filter))
    return [
        {
            "filter": row.filter,
            "verdict": row.verdict,
            "reason": row.reason,
            "measures": {
                name: f"{value:.3g}" if isinstance(value, float) else str(value)
                for name, value in row.measures.items()
                if isinstance(value, int | float | str)
            },
        }
        for row in rows
    ]


def _history_row(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("target", "value", "origin", "author", "effective")}
    return {**shown, "time": row["created_at"].astimezone().strftime("%Y-%m-%d %H:%M")}


def _predictions(predictions: Predictions | None, sha256: str, size: Size, orientation: int) -> list[dict[str, Any]]:
    """Return the predictions of a photograph, with their patches in display coordinates."""
    rows = predictions.of_photograph(sha256) if predictions else []
    for row in rows:
        row["patches"] = [
            {
                **to_display(Box(*(patch[name] for name in Box._fields)), size, orientation)._asdict(),
                "contribution": patch["contribution"],
            }
            for patch in row["patches"]
        ]
    return rows
