"""The EXIF value that counts where several origins tell one: file, then API, then sidecar."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, case, select

from harvest.catalogue.tables import Exif, Sighting

EXIF_COLUMNS = (
    "make", "model", "lens", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm",
    "flash_fired", "taken_at",
)  # fmt: skip
"""What is known of how a photograph was made, in the order in which people read it."""


def resolved_exif(
    connection: Connection, first: int, last: int, columns: Collection[str] = EXIF_COLUMNS
) -> dict[int, dict[str, Any]]:
    """Return EXIF values by image, each from the first origin that has it.

    Args:
        connection: to the catalogue.
        first: lowest image id.
        last: highest image id.
        columns: of the table ``exif``.
    """
    if not columns:
        return {}
    wanted = [getattr(Exif, column) for column in columns]
    of_file = (
        select(Exif.image_id, *wanted)
        .where(Exif.image_id.between(first, last), Exif.origin == "file")
        .order_by(Exif.image_id, Exif.id)
    )
    of_sightings = (
        select(Sighting.image_id, *wanted)
        .join(Exif, Exif.sighting_id == Sighting.id)
        .where(Sighting.image_id.between(first, last))
        .order_by(Sighting.image_id, case({"api": 0}, value=Exif.origin, else_=1), Exif.id)
    )
    found: dict[int, dict[str, Any]] = {}
    for query in (of_file, of_sightings):
        for image_id, *values in connection.execute(query):
            known = found.setdefault(image_id, {})
            for column, value in zip(columns, values, strict=True):
                if value is not None:
                    known.setdefault(column, value)
    return found
