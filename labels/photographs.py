"""What a data set says of each photograph beside its labels, read from the catalogue span by span."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, select

from harvest.catalogue.resolve import resolved_exif
from harvest.catalogue.tables import Image, Inspection, Sighting
from labels.dataset import MANIFEST_COLUMNS
from labels.evidence import Span

EXIF_COLUMNS = (
    "make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "flash_fired",
    "taken_at",
)  # fmt: skip
COLUMNS = pa.schema(
    [
        MANIFEST_COLUMNS.field(name)
        for name in (
            "sha256", "source", "owner", "licence", "format", "width", "height", "file_size", "quantisation",
            *EXIF_COLUMNS,
        )
    ]
)  # fmt: skip
"""The manifest's columns that come from the catalogue."""

_UNSEEN: list[tuple[str | None, str | None, str | None]] = [(None, None, None)]


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph of a data set.

    Attributes:
        columns: values of `COLUMNS`.
        owners: everyone whom a source names as its photographer.
        body: hash of the camera body's serial number.
        phash: 64-bit perceptual hash.
    """

    image_id: int
    columns: tuple[Any, ...]
    owners: tuple[str, ...]
    body: str | None
    phash: int | None


def photographs(connection: Connection, span: Span, wanted: Collection[int]) -> Iterator[Photograph]:
    """Yield the wanted images of a span, by their ids."""
    exif = resolved_exif(connection, span.first, span.last, EXIF_COLUMNS)
    sightings = _sightings(connection, span)
    hashes = _hashes(connection, span)
    query = (
        select(
            Image.id, Image.body, Image.sha256, Image.format, Image.width, Image.height, Image.file_size,
            Image.quantisation,
        )
        .where(Image.id.between(span.first, span.last), Image.problem.is_(None))
        .order_by(Image.id)
    )  # fmt: skip
    for image, body, sha256, *of_file in connection.execute(query):
        if image in wanted:
            seen = sightings.get(image, _UNSEEN)
            values = exif.get(image, {})
            columns = (sha256, *seen[0], *of_file, *map(values.get, EXIF_COLUMNS))
            owners = tuple(owner for _, owner, _ in seen if owner)
            yield Photograph(image, columns, owners, body, hashes.get(image))


def _sightings(connection: Connection, span: Span) -> dict[int, list[tuple[str | None, str | None, str | None]]]:
    query = (
        select(Sighting.image_id, Sighting.source, Sighting.owner, Sighting.licence)
        .where(Sighting.image_id.between(span.first, span.last))
        .order_by(Sighting.image_id, Sighting.id)
    )
    found: defaultdict[int, list[tuple[str | None, str | None, str | None]]] = defaultdict(list)
    for image_id, source, owner, licence in connection.execute(query):
        if image_id is not None:
            found[image_id].append((source, owner, licence))
    return found


def _hashes(connection: Connection, span: Span) -> dict[int, int]:
    query = select(Inspection.image_id, Inspection.measures).where(
        Inspection.image_id.between(span.first, span.last), Inspection.filter == "duplicates"
    )
    return {
        image_id: int(measures["phash"], 16)
        for image_id, measures in connection.execute(query)
        if measures.get("phash")
    }
