"""Read the rows of exported tables from the catalogue, in batches of bounded size."""

import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select
from sqlalchemy import Text as TextType

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import among
from lightmeter.harvest.catalogue.effective_labels import read_effective_labels
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.export.columns import Column
from lightmeter.harvest.catalogue.models import Image, Inspection, SightingRecord
from lightmeter.harvest.catalogue.query.comparisons import key_of
from lightmeter.harvest.catalogue.query.fields import LABEL_PREFIX, find_field
from lightmeter.harvest.exif.columns import EXIF_COLUMNS

Rows = list[dict[str, Any]]

BATCH = 2_000
"""Number of rows that are read at once."""

_COUNTED = 5_000  # images at once
_MAX_COUNTED = 100_000  # a count of ten million takes minutes, and a list needs none

_IMAGE_COLUMNS = (Image.sha256, Image.width, Image.height, Image.file_size, Image.format)
_IDS = ("id", "image_id")


def read_rows(
    connection: Connection,
    columns: Sequence[Column],
    where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
) -> Iterator[Rows]:
    """Yield the values that columns need of all downloaded sightings, in batches.

    Args:
        connection: Catalogue connection.
        columns: Columns of the table.
        where: Condition on images.
        order: Values to sort by (default: order of discovery).
        limit: Maximum number of rows.
    """
    keys = {key for column in columns for key in column.keys}
    sighting_columns = [column for column in SightingRecord.__table__.c if column.name in keys or column.name in _IDS]
    image_columns = [column for column in _IMAGE_COLUMNS if column.key in keys]
    query = select(*sighting_columns, *image_columns).join(Image, Image.id == SightingRecord.image_id)
    batches = _sorted(connection, query, where, order, limit) if order else _pages(connection, query, where, limit)
    for rows in batches:
        yield _with_image_data(connection, rows, keys)


def _pages(connection: Connection, query: Select[Any], where: ColumnElement[bool], limit: int | None) -> Iterator[Rows]:
    """Yield sightings in the order of discovery, a range of ids at a time: all of it is found by an index."""
    remaining = sys.maxsize if limit is None else limit
    last = connection.scalar(select(func.max(SightingRecord.id))) or 0
    for start in range(0, last, BATCH):
        page = query.where(where, SightingRecord.id > start, SightingRecord.id <= start + BATCH)
        page = page.order_by(SightingRecord.id).limit(min(remaining, BATCH))
        rows = [dict(row) for row in connection.execute(page).mappings()]
        if rows:
            yield rows
        remaining -= len(rows)
        if remaining <= 0:
            return


def _sorted(
    connection: Connection,
    query: Select[Any],
    where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]],
    limit: int | None,
) -> Iterator[Rows]:
    """Yield sightings in an order."""
    ids = select(SightingRecord.id).join(Image, Image.id == SightingRecord.image_id).where(where)
    ids = ids.order_by(*order, SightingRecord.id).limit(limit).execution_options(yield_per=BATCH)
    ordered = array("q", connection.scalars(ids))  # 8 MB for a million rows, which alone are held in memory
    for start in range(0, len(ordered), BATCH):
        position = {sighting: number for number, sighting in enumerate(ordered[start : start + BATCH])}
        rows = [
            dict(row)
            for row in connection.execute(query.where(among(connection, SightingRecord.id, position))).mappings()
        ]
        if rows:
            rows.sort(key=lambda row: position[row["id"]])
            yield rows


def count_rows(connection: Connection, where: ColumnElement[bool] | None) -> tuple[int, bool]:
    """Return the number of rows without a limit, and whether all are counted: those of the first 100,000 images are.

    Args:
        connection: Catalogue connection.
        where: Condition on images; None for all.
    """
    query = select(func.count()).select_from(SightingRecord).join(Image, Image.id == SightingRecord.image_id)
    query = query if where is None else query.where(where)
    last = connection.scalar(select(func.max(Image.id))) or 0
    starts = range(0, min(last, _MAX_COUNTED), _COUNTED)
    ranges = (query.where(Image.id > start, Image.id <= start + _COUNTED) for start in starts)
    return sum(connection.scalar(counted) or 0 for counted in ranges), last <= _MAX_COUNTED


def sort_keys(columns: Sequence[tuple[Column, bool]]) -> list[ColumnElement[Any]]:
    """Return what to sort by; missing values come last, and texts are sorted regardless of case.

    Args:
        columns: Columns, and whether the greatest values come first.

    Raises:
        UsageError: Rows cannot be sorted by a column.
    """
    keys: list[ColumnElement[Any]] = []
    for column, descending in columns:
        field = find_field(column.field) if column.field else None
        if field is None:
            raise UsageError(f"A table cannot be sorted by the column '{column.name}'.")
        value = key_of(field.order) if isinstance(field.order.type, TextType) else field.order
        keys += [field.order.is_(None), value.desc() if descending else value]
    return keys


def _with_image_data(connection: Connection, rows: Rows, keys: Collection[str]) -> Rows:
    """Add EXIF, verdicts, measures and labels of their images to sightings, as far as columns need them."""
    images = sorted({row["image_id"] for row in rows})
    exif = resolved_exif(connection, images, [name for name in EXIF_COLUMNS if name in keys])
    targets = [key.removeprefix(LABEL_PREFIX) for key in keys if key.startswith(LABEL_PREFIX)]
    labels = {
        image: {f"{LABEL_PREFIX}{target}": value for target, value in values.items()}
        for image, values in read_effective_labels(connection, images, targets).items()
    }
    inspections = _inspections(connection, images, keys)
    parts = (exif, inspections, labels)
    return [row | {k: v for part in parts for k, v in part.get(row["image_id"], {}).items()} for row in rows]


def _inspections(connection: Connection, images: Sequence[int], keys: Collection[str]) -> dict[int, dict[str, Any]]:
    """Return verdicts by filter and measures by FILTER.MEASURE, by image."""
    filters = {key.partition(".")[0] for key in keys if not key.startswith(LABEL_PREFIX)}
    query = select(Inspection.image_id, Inspection.filter, Inspection.verdict, Inspection.measures)
    query = query.where(among(connection, Inspection.image_id, images), Inspection.filter.in_(filters))
    values: dict[int, dict[str, Any]] = {}
    for image_id, name, verdict, measures in connection.execute(query):
        plain = {f"{name}.{measure}": value for measure, value in measures.items()}
        values.setdefault(image_id, {}).update({name: verdict} | {k: v for k, v in plain.items() if k in keys})
    return values
