"""Effective EXIF values: for each column the first origin in `EXIF_PRECEDENCE` that has a value."""

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, Executable, Select, case, select

from lightmeter.harvest.catalogue.database.session import among
from lightmeter.harvest.catalogue.models import Exif, SightingRecord
from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS, EXIF_COLUMNS, EXIF_PRECEDENCE

_ARROW_TYPES = {str: pa.string(), float: pa.float64(), bool: pa.bool_(), int: pa.int32()}


def arrow_type(column: str) -> pa.DataType:
    """Return the Arrow type of an EXIF column."""
    return _ARROW_TYPES[EXIF_COLUMNS[column].type]


def resolved_exif(
    connection: Connection, images: Sequence[int] | range, columns: Collection[str] = CAPTURE_COLUMNS
) -> dict[int, dict[str, Any]]:
    """Return the effective EXIF values of images.

    Args:
        connection: Catalogue connection.
        images: Image ids, at most some thousands; or a range of ids.
        columns: EXIF columns to read.

    Returns:
        Values by image id and column; columns without a value are missing.
    """
    result: dict[int, dict[str, Any]] = {}
    for query in _queries(connection, images, columns):
        for image_id, *row in connection.execute(query):
            values = result.setdefault(image_id, {})
            for column, value in zip(columns, row, strict=True):
                if value is not None:
                    values.setdefault(column, value)
    return result


def resolved_exif_table(connection: Connection, first: int, last: int, columns: Collection[str]) -> pa.Table:
    """Return the effective EXIF values of a range of images as a table.

    Args:
        connection: Catalogue connection.
        first: Lowest image id.
        last: Highest image id.
        columns: EXIF columns to read.

    Returns:
        One row per image with EXIF, sorted by ``image_id``, with nulls for missing values.
    """
    schema = pa.schema([("image_id", pa.int64()), *((name, arrow_type(name)) for name in columns)])
    rows = pa.concat_tables(
        read_table(connection, query, schema) for query in _queries(connection, range(first, last + 1), columns)
    )
    if len(rows) == len(pc.unique(rows["image_id"])):  # almost always: one origin per image
        return rows.sort_by("image_id")
    firsts = rows.group_by("image_id", use_threads=False).aggregate([(name, "first") for name in columns])
    return firsts.rename_columns([name.removesuffix("_first") for name in firsts.column_names]).sort_by("image_id")


def read_table(connection: Connection, query: Executable, schema: pa.Schema) -> pa.Table:
    """Return the rows of a query as an Arrow table with the given schema."""
    with _garbage_collection_off():
        values = zip(*connection.execute(query).all(), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema) if arrays else schema.empty_table()


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Disable cyclic garbage collection: rows contain no cycles, and the search took a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _queries(connection: Connection, images: Sequence[int] | range, columns: Collection[str]) -> list[Select[Any]]:
    """Return queries that select image id and columns, in order of precedence."""
    if not columns:
        return []
    values = [getattr(Exif, column) for column in columns]
    from_files = (
        select(Exif.image_id, *values)
        .where(_among(connection, Exif.image_id, images), Exif.origin == "file")
        .order_by(Exif.image_id, Exif.id)
    )
    rank = case({origin: rank for rank, origin in enumerate(EXIF_PRECEDENCE)}, value=Exif.origin)
    from_sightings = (
        select(SightingRecord.image_id, *values)
        .join(Exif, Exif.sighting_id == SightingRecord.id)
        .where(_among(connection, SightingRecord.image_id, images), Exif.sighting_id.is_not(None))
        .order_by(SightingRecord.image_id, rank, Exif.id)
    )
    return [from_files, from_sightings]


def _among(connection: Connection, column: Any, images: Sequence[int] | range) -> ColumnElement[bool]:
    if not isinstance(images, range):
        return among(connection, column, images)
    condition: ColumnElement[bool] = column.between(images[0], images[-1])
    return condition
