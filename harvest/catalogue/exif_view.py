"""The EXIF value that counts where several origins tell one: file, then API, then sidecar."""

import gc
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Executable, Select, case, select

from lightmeter.harvest.catalogue.models import Exif, Sighting

EXIF_COLUMNS = (
    "make", "model", "lens", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm",
    "flash_fired", "taken_at",
)  # fmt: skip
"""What is known of how a photograph was made, in the order in which people read it."""


_TYPES = {"flash_fired": pa.bool_(), "orientation": pa.int32()}
_TEXTS = ("make", "model", "lens", "software", "taken_at")


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
    found: dict[int, dict[str, Any]] = {}
    for query in _queries(first, last, columns):
        for image_id, *values in connection.execute(query):
            known = found.setdefault(image_id, {})
            for column, value in zip(columns, values, strict=True):
                if value is not None:
                    known.setdefault(column, value)
    return found


def resolved_exif_table(connection: Connection, first: int, last: int, columns: Collection[str]) -> pa.Table:
    """Return the same for many images at once: a row for each image, by ``image_id``, with nulls where nobody knows.

    Args:
        connection: to the catalogue.
        first: lowest image id.
        last: highest image id.
        columns: of the table ``exif``.
    """
    schema = pa.schema([("image_id", pa.int64()), *((name, _type(name)) for name in columns)])
    told = pa.concat_tables(read_table(connection, query, schema) for query in _queries(first, last, columns))
    if len(told) == len(pc.unique(told["image_id"])):  # one origin each, as nearly always: nothing to choose
        return told.sort_by("image_id")
    firsts = told.group_by("image_id", use_threads=False).aggregate([(name, "first") for name in columns])
    return firsts.rename_columns([name.removesuffix("_first") for name in firsts.column_names]).sort_by("image_id")


def read_table(connection: Connection, query: Executable, schema: pa.Schema) -> pa.Table:
    """Return a query's rows as columns of the given types, in the query's order."""
    with _no_collection():
        values = zip(*connection.execute(query).all(), strict=True)
        arrays = [pa.array(column, kind.type) for column, kind in zip(values, schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema) if arrays else schema.empty_table()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no reference cycles in a block: rows have none, and looking took a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _type(column: str) -> pa.DataType:
    return pa.string() if column in _TEXTS else _TYPES.get(column, pa.float64())


def _queries(first: int, last: int, columns: Collection[str]) -> list[Select[Any]]:
    """Return the queries for what each origin says, the one that counts first; their rows begin with the image's id."""
    if not columns:
        return []
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
    return [of_file, of_sightings]
