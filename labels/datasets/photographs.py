"""Columns of a data set that come from the catalogue, read as Arrow tables."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from lightmeter.harvest.catalogue.exif_view import arrow_type, read_table, resolved_exif_table
from lightmeter.harvest.catalogue.models import Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS
from lightmeter.labels.annotations.photo_facts import IdRange

TEXT = pa.dictionary(pa.int32(), pa.string())
"""Type of text that recurs: each value is stored once."""

MANIFEST_EXIF = tuple(name for name in CAPTURE_COLUMNS if name != "lens")
"""EXIF columns of the manifest."""

_IMAGE_FIELDS = [
    ("format", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("file_size", pa.int64()),
    ("quantisation", pa.string()),
]
_SIGHTING_FIELDS = [("source", pa.string()), ("owner", pa.string()), ("licence", pa.string())]

_ID = ("image_id", pa.int64())
_IMAGE_COLUMNS = [_ID, ("sha256", pa.string()), *_IMAGE_FIELDS, ("body", pa.string())]
_ENCODED = ("format", "quantisation", "source", "owner", "licence", "make", "model", "body")
_TEXTS = pa.list_(TEXT)
_FIELDS = [
    *_IMAGE_COLUMNS,
    *_SIGHTING_FIELDS,
    ("sources", _TEXTS),
    ("owners", _TEXTS),
    *((name, arrow_type(name)) for name in MANIFEST_EXIF),
    ("phash", pa.uint64()),
]
SCHEMA = pa.schema([(name, TEXT if name in _ENCODED else type_) for name, type_ in _FIELDS])
"""Columns of `read_photographs`."""


def read_photographs(connection: Connection, id_range: IdRange) -> pa.Table:
    """Return the readable images of a range, one row each, sorted by ``image_id``.

    Args:
        connection: Catalogue connection.
        id_range: Image ids.

    Returns:
        A table with the columns of `SCHEMA`: ``source``, ``owner`` and ``licence`` of the first sighting, ``sources``
        and ``owners`` of all sightings, ``body`` (hash of the camera body's serial number) and ``phash`` (perceptual
        hash).
    """
    query = select(Image.id, *(getattr(Image, name) for name, _ in _IMAGE_COLUMNS[1:]))
    query = query.where(id_range.covers(Image.id), Image.problem.is_(None)).order_by(Image.id)
    table = read_table(connection, query, pa.schema(_IMAGE_COLUMNS))
    table = table.filter(pc.is_in(table["image_id"], pa.array(id_range.ids, pa.int64())))
    exif = resolved_exif_table(connection, id_range.first, id_range.last, MANIFEST_EXIF)
    for columns in (*_sightings(connection, id_range), exif, _perceptual_hashes(connection, id_range)):
        table = left_join(table, columns)
    return pa.table(
        [table[name].dictionary_encode() if name in _ENCODED else table[name] for name in SCHEMA.names], schema=SCHEMA
    )


def left_join(left: pa.Table, right: pa.Table) -> pa.Table:
    """Add the columns of another table by ``image_id``, null where it has no such row.

    Unlike `pyarrow.Table.join` it keeps the order of the rows and accepts list columns.

    Args:
        left: Table with ``image_id``.
        right: Table with at most one row per ``image_id``.
    """
    rows = pc.index_in(left["image_id"], value_set=right["image_id"].combine_chunks())
    for name in right.column_names:
        if name != "image_id":
            left = left.append_column(name, right[name].take(rows))
    return left


def _sightings(connection: Connection, id_range: IdRange) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return the first sighting of each image, and the sources and owners of all its sightings."""
    query = select(SightingRecord.image_id, *(getattr(SightingRecord, name) for name, _ in _SIGHTING_FIELDS))
    query = query.where(id_range.covers(SightingRecord.image_id)).order_by(SightingRecord.image_id, SightingRecord.id)
    sightings = read_table(connection, query, pa.schema([_ID, *_SIGHTING_FIELDS]))
    first_rows = np.unique(sightings["image_id"].to_numpy(), return_index=True)[1]
    return sightings.take(pa.array(first_rows)), _lists(sightings, "source"), _lists(sightings, "owner")


def _lists(sightings: pa.Table, column: str) -> pa.Table:
    """Return the values of a column, without nulls, as one list per image."""
    rows = sightings.filter(pc.is_valid(sightings[column]))
    lists = rows.group_by("image_id", use_threads=False).aggregate([(column, "list")])
    lists = lists.rename_columns(["image_id", f"{column}s"])
    return lists.cast(pa.schema([_ID, (f"{column}s", _TEXTS)]))


def _perceptual_hashes(connection: Connection, id_range: IdRange) -> pa.Table:
    query = (
        select(Inspection.image_id, Inspection.measures["phash"].as_string())
        .where(id_range.covers(Inspection.image_id), Inspection.filter == "duplicates")
        .order_by(Inspection.image_id)
    )
    rows = connection.execute(query).all()
    hashes = [int(digits, 16) if digits else None for _, digits in rows]
    ids = pa.array([image_id for image_id, _ in rows], pa.int64())
    return pa.table({"image_id": ids, "phash": pa.array(hashes, pa.uint64())})
