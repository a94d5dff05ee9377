"""What a data set says of each photograph beside its labels, read from the catalogue as columns, span by span."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from lightmeter.harvest.catalogue.exif_view import read_table, resolved_exif_table
from lightmeter.harvest.catalogue.models import Image, Inspection, Sighting
from lightmeter.labels.annotations.photo_facts import IdRange
from lightmeter.labels.datasets.dataset import MANIFEST_COLUMNS

EXIF_COLUMNS = (
    "make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "flash_fired",
    "taken_at",
)  # fmt: skip
_FILE_COLUMNS = ("sha256", "format", "width", "height", "file_size", "quantisation")
_SEEN_COLUMNS = ("source", "owner", "licence")
COLUMNS = (*_FILE_COLUMNS, *_SEEN_COLUMNS, *EXIF_COLUMNS)
"""The manifest's columns that come from the catalogue."""

WORD = pa.dictionary(pa.int32(), pa.string())
"""Words that recur, each kept once."""

_ID = pa.field("image_id", pa.int64())
_IMAGES = pa.schema([_ID, *map(MANIFEST_COLUMNS.field, _FILE_COLUMNS), ("body", pa.string())])
_SEEN = pa.schema([_ID, *map(MANIFEST_COLUMNS.field, _SEEN_COLUMNS)])
_WORDS = ("format", "quantisation", "source", "owner", "licence", "make", "model", "body")
SCHEMA = pa.schema(
    [_ID]
    + [pa.field(name, WORD if name in _WORDS else MANIFEST_COLUMNS.field(name).type) for name in COLUMNS]
    + [("elsewhere", pa.list_(pa.string())), ("owners", pa.list_(pa.string())), ("body", WORD), ("phash", pa.uint64())]
)
"""The columns of `photographs`."""


def photographs(connection: Connection, span: IdRange) -> pa.Table:
    """Return the images of a span, a row for each, in the order of their ids.

    The columns are those of `SCHEMA`: `COLUMNS` (of the first sighting), ``elsewhere`` (the sources of the further
    sightings), ``owners`` (everyone whom a source names as the photographer),
    ``body`` (hash of the camera body's serial number) and ``phash`` (64-bit perceptual hash).
    """
    columns = [getattr(Image, name) for name in ("id", *_FILE_COLUMNS, "body")]
    query = select(*columns).where(span.covers(Image.id), Image.problem.is_(None)).order_by(Image.id)
    images = read_table(connection, query, _IMAGES)
    images = images.filter(pc.is_in(images["image_id"], pa.array(span.ids, pa.int64())))
    ids = images["image_id"].to_numpy()
    for part in (
        *_seen(connection, span),
        resolved_exif_table(connection, span.first, span.last, EXIF_COLUMNS),
        _hashes(connection, span),
    ):
        images = beside(images, aligned(part, ids))
    encoded = [images[name].dictionary_encode() if name in _WORDS else images[name] for name in SCHEMA.names]
    return pa.table(encoded, schema=SCHEMA)


def aligned(table: pa.Table, ids: NDArray[np.int64]) -> pa.Table:
    """Return the rows of some images, with nulls for those that a table lacks.

    Args:
        table: in the order of its column ``image_id``, which is left out.
        ids: shape (N,).
    """
    known = table["image_id"].to_numpy()
    rest = table.drop_columns(["image_id"])
    if not len(known):
        return pa.table([pa.nulls(len(ids), kind.type) for kind in rest.schema], schema=rest.schema)
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return rest.take(pa.array(place, mask=known[place] != ids))


def beside(left: pa.Table, right: pa.Table) -> pa.Table:
    """Return two tables of as many rows side by side."""
    return pa.table([*left.columns, *right.columns], names=[*left.column_names, *right.column_names])


def _seen(connection: Connection, span: IdRange) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return what the first sighting of each image says, the sources of its further ones, and all its owners."""
    query = select(Sighting.image_id, *(getattr(Sighting, name) for name in _SEEN_COLUMNS))
    query = query.where(span.covers(Sighting.image_id)).order_by(Sighting.image_id, Sighting.id)
    seen = read_table(connection, query, _SEEN)
    first = np.unique(seen["image_id"].to_numpy(), return_index=True)[1]
    further = np.ones(seen.num_rows, dtype=bool)
    further[first] = False
    elsewhere = _listed(seen.filter(pa.array(further)), "source", "elsewhere")
    return seen.take(pa.array(first)), elsewhere, _listed(seen.filter(pc.is_valid(seen["owner"])), "owner", "owners")


def _listed(table: pa.Table, column: str, name: str) -> pa.Table:
    """Return the words of a column as a list for each image; the table is in the order of the images."""
    ids, starts = np.unique(table["image_id"].to_numpy(), return_index=True)
    offsets = pa.array(np.r_[starts, table.num_rows], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, table[column].combine_chunks())
    return pa.table({"image_id": pa.array(ids, pa.int64()), name: lists})


def _hashes(connection: Connection, span: IdRange) -> pa.Table:
    query = (
        select(Inspection.image_id, Inspection.measures["phash"].as_string())
        .where(span.covers(Inspection.image_id), Inspection.filter == "duplicates")
        .order_by(Inspection.image_id)
    )
    found = connection.execute(query).all()
    return pa.table(
        {
            "image_id": pa.array([image_id for image_id, _ in found], pa.int64()),
            "phash": pa.array([int(digits, 16) if digits else None for _, digits in found], pa.uint64()),
        }
    )
