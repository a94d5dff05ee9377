"""What is known of all photographs of a catalogue, as tables in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, Text, cast, select

from lightmeter.harvest.catalogue.database.session import distinct_values
from lightmeter.harvest.catalogue.exif_view import arrow_type, read_table, resolved_exif_table
from lightmeter.harvest.catalogue.models import Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import EXIF_COLUMNS

Rows = NDArray[np.int64]

LISTS = ("tags", "concepts")
"""Columns of sightings that hold lists, here as texts in JSON."""

_IMAGE = {"id": pa.int64(), "width": pa.int64(), "height": pa.int64(), "file_size": pa.int64()} | dict.fromkeys(
    ("sha256", "format", "quantisation"), pa.string()
)
_SIGHTING = {"image_id": pa.int64(), "run_id": pa.int64(), "published_at": pa.timestamp("us", "UTC")} | dict.fromkeys(
    ("source", "source_id", "owner", "title", "file", "page_url", "medium", "licence", *LISTS), pa.string()
)
_VERDICT = {"image_id": pa.int64(), "verdict": pa.string(), "reason": pa.string()}


@dataclass(frozen=True)
class Facts:
    """The decodable photographs of a catalogue, in ascending order of their ids.

    Attributes:
        images: Columns of the table ``images``, a row per photograph.
        exif: Effective EXIF values, a row per photograph.
        sightings: Columns of sightings, in the order of their ids.
        sighting_rows: Row of the photograph of each sighting.
        verdicts: Verdict and reason by filter, a row per photograph.
    """

    images: pa.Table
    exif: pa.Table
    sightings: pa.Table
    sighting_rows: Rows
    verdicts: Mapping[str, pa.Table]

    def first_sightings(self, column: str) -> list[Any]:
        """Return the values of a column at the first sighting of each photograph, None without one."""
        rows, first = np.unique(self.sighting_rows, return_index=True)
        index = np.full(len(self.images), -1)
        index[rows] = first
        taken = self.sightings[column].take(pa.array(index, mask=index < 0))
        values: list[Any] = taken.to_pylist()
        return values


def read_facts(connection: Connection) -> Facts:
    """Read what is known of the decodable photographs of a catalogue."""
    query = select(*(getattr(Image, name) for name in _IMAGE)).where(Image.problem.is_(None)).order_by(Image.id)
    images = read_table(connection, query, pa.schema(list(_IMAGE.items())))
    ids = images["id"].to_numpy()
    sightings = _read_sightings(connection)
    rows = positions(ids, sightings["image_id"].to_numpy())
    exists = rows >= 0
    return Facts(
        images, _read_exif(connection, ids), sightings.filter(pa.array(exists)), rows[exists],
        {name: _read_verdicts(connection, ids, name) for name in _filters(connection)},
    )  # fmt: skip


def positions(ids: NDArray[np.int64], values: NDArray[np.int64]) -> Rows:
    """Return the position of each value among ascending ids, -1 for one that is not there."""
    rows = np.searchsorted(ids, values)
    rows[rows == len(ids)] = 0
    exists = ids[rows] == values if len(ids) else np.zeros(len(values), bool)
    return np.where(exists, rows, -1)


def _read_sightings(connection: Connection) -> pa.Table:
    columns = [
        cast(column, Text) if name in LISTS else column
        for name, column in ((name, getattr(SightingRecord, name)) for name in _SIGHTING)
    ]
    query = select(*columns).where(SightingRecord.image_id.is_not(None)).order_by(SightingRecord.id)
    return read_table(connection, query, pa.schema(list(_SIGHTING.items())))


def _read_exif(connection: Connection, ids: NDArray[np.int64]) -> pa.Table:
    names = list(EXIF_COLUMNS)
    if not len(ids):
        return pa.schema([(name, arrow_type(name)) for name in names]).empty_table()
    return _aligned(resolved_exif_table(connection, int(ids[0]), int(ids[-1]), names), ids, names)


def _filters(connection: Connection) -> Sequence[str]:
    return distinct_values(connection, Inspection.filter)


def _read_verdicts(connection: Connection, ids: NDArray[np.int64], name: str) -> pa.Table:
    query = select(*(getattr(Inspection, column) for column in _VERDICT)).where(Inspection.filter == name)
    table = read_table(connection, query, pa.schema(list(_VERDICT.items()))).sort_by("image_id")
    return _aligned(table, ids, ("verdict", "reason"))


def _aligned(table: pa.Table, ids: NDArray[np.int64], names: Collection[str]) -> pa.Table:
    """Return a row per photograph of a table sorted by ``image_id``, with nulls for those that it lacks."""
    rows = positions(table["image_id"].to_numpy(), ids)
    return table.select(list(names)).take(pa.array(rows, mask=rows < 0))
