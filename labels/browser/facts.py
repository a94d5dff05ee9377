"""What is known of all photographs of a catalogue, as tables in memory.

Photographs are read in ranges of ids, and texts that recur are dictionaries, so that a photograph takes about 0.3 kB.
What differs between almost all photographs and is rarely asked for, as their web pages, stays in the catalogue.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, Text, cast, func, select

from lightmeter.harvest.catalogue.database.session import distinct_values
from lightmeter.harvest.catalogue.exif_view import arrow_type, read_table, resolved_exif_table
from lightmeter.harvest.catalogue.models import Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import EXIF_COLUMNS

Rows = NDArray[np.int64]

LISTS = ("tags", "concepts")
"""Columns of sightings that hold lists, here as texts in JSON."""

_TEXT = pa.dictionary(pa.int32(), pa.string())
_RANGE = 10_000  # ids that are read at once
_UNIQUE = ("sha256", "file", "taken_at")  # texts that hardly recur
_IMAGE = {"id": pa.int64(), "width": pa.int32(), "height": pa.int32(), "file_size": pa.int64()} | dict.fromkeys(
    ("sha256", "format", "quantisation"), pa.string()
)
_SIGHTING = {"image_id": pa.int64(), "run_id": pa.int32(), "published_at": pa.timestamp("us", "UTC")} | dict.fromkeys(
    ("source", "owner", "title", "file", "medium", "licence", *LISTS), pa.string()
)
_VERDICT = {"image_id": pa.int64(), "verdict": pa.string(), "reason": pa.string()}


@dataclass(frozen=True)
class Facts:
    """The decodable photographs of a catalogue, in ascending order of their ids.

    Attributes:
        images: Columns of the table ``images``, a row per photograph.
        exif: Effective EXIF values, a row per photograph.
        sightings: Columns of sightings, in the order of photographs and of their own ids.
        sighting_rows: Row of the photograph of each sighting.
        verdicts: Verdict and reason by filter, a row per photograph.
    """

    images: pa.Table
    exif: pa.Table
    sightings: pa.Table
    sighting_rows: NDArray[np.int32]
    verdicts: Mapping[str, pa.Table]

    def first_sightings(self, column: str) -> pa.Array:
        """Return the values of a column at the first sighting of each photograph, null without one."""
        values = whole(self.sightings[column])
        if len(values) == len(self.images) and (np.diff(self.sighting_rows) == 1).all():
            return values
        rows, first = np.unique(self.sighting_rows, return_index=True)
        index = np.full(len(self.images), -1)
        index[rows] = first
        return values.take(pa.array(index, mask=index < 0))


def read_facts(connection: Connection) -> Facts:
    """Read what is known of the decodable photographs of a catalogue."""
    filters = distinct_values(connection, Inspection.filter)
    last = connection.scalar(select(func.max(Image.id))) or 0
    parts: dict[str, list[pa.Table]] = {}
    rows = [np.empty(0, np.int32)]
    count = 0
    for start in range(0, max(last, 1), _RANGE):
        images = _read(connection, _query(Image, _IMAGE, Image.id, start).where(Image.problem.is_(None)), _IMAGE)
        ids = images["id"].to_numpy()
        sightings, photographs = _read_sightings(connection, ids, start)
        rows.append((photographs + count).astype(np.int32))
        count += len(ids)
        tables = {"images": images, "sightings": sightings, "exif": _read_exif(connection, ids, start)}
        tables |= {f"verdict {name}": _read_verdicts(connection, ids, name, start) for name in filters}
        for name, table in tables.items():
            parts.setdefault(name, []).append(table)
    joined = {name: _concatenate(parts.pop(name)) for name in list(parts)}
    pa.default_memory_pool().release_unused()
    verdicts = {name: joined[f"verdict {name}"] for name in filters}
    return Facts(joined["images"], joined["exif"], joined["sightings"], np.concatenate(rows), verdicts)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy if it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def image_ids(connection: Connection, query: Select[Any]) -> NDArray[np.int64]:
    """Return the ids that a query selects, without a list of them all."""
    rows = connection.execute(query.execution_options(yield_per=_RANGE))
    return np.fromiter((image_id for (image_id,) in rows), np.int64)


def positions(ids: NDArray[np.int64], values: NDArray[np.int64]) -> Rows:
    """Return the position of each value among ascending ids, -1 for one that is not there."""
    rows = np.searchsorted(ids, values)
    rows[rows == len(ids)] = 0
    exists = ids[rows] == values if len(ids) else np.zeros(len(values), bool)
    return np.where(exists, rows, -1)


def _query(model: type, names: Collection[str], key: Any, start: int) -> Select[Any]:
    """Return the query of columns of the rows with the image ids after one, in the order of the ids."""
    columns = [getattr(model, name) for name in names]
    columns = [cast(column, Text) if name in LISTS else column for name, column in zip(names, columns, strict=True)]
    return select(*columns).where(key > start, key <= start + _RANGE).order_by(key)


def _read(connection: Connection, query: Select[Any], types: Mapping[str, pa.DataType]) -> pa.Table:
    return _encoded(read_table(connection, query, pa.schema(list(types.items()))))


def _encoded(table: pa.Table) -> pa.Table:
    """Return a table with dictionaries of texts that recur."""
    types = [
        (field.name, _TEXT if pa.types.is_string(field.type) and field.name not in _UNIQUE else field.type)
        for field in table.schema
    ]
    return table.cast(pa.schema(types))


def _read_sightings(connection: Connection, ids: NDArray[np.int64], start: int) -> tuple[pa.Table, Rows]:
    """Return sightings, and the row of the photograph of each."""
    query = _query(SightingRecord, _SIGHTING, SightingRecord.image_id, start).order_by(SightingRecord.id)
    table = _read(connection, query, _SIGHTING)
    rows = positions(ids, table["image_id"].to_numpy())
    return table.drop_columns(["image_id"]).filter(pa.array(rows >= 0)), rows[rows >= 0]


def _read_exif(connection: Connection, ids: NDArray[np.int64], start: int) -> pa.Table:
    names = list(EXIF_COLUMNS)
    if not len(ids):
        return _encoded(pa.schema([(name, arrow_type(name)) for name in names]).empty_table())
    return _encoded(_aligned(resolved_exif_table(connection, start + 1, start + _RANGE, names), ids, names))


def _read_verdicts(connection: Connection, ids: NDArray[np.int64], name: str, start: int) -> pa.Table:
    query = _query(Inspection, _VERDICT, Inspection.image_id, start).where(Inspection.filter == name)
    return _aligned(_read(connection, query, _VERDICT), ids, ("verdict", "reason"))


def _aligned(table: pa.Table, ids: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
    """Return a row per photograph of a table sorted by ``image_id``, with nulls for those that it lacks."""
    rows = positions(table["image_id"].to_numpy(), ids)
    return table.select(list(names)).take(pa.array(rows, mask=rows < 0))


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    """Return one table; empties the list, so that no more than one column exists twice."""
    if len(tables) == 1:
        return tables.pop()
    table = pa.concat_tables(tables)
    tables.clear()
    return pa.table(dict(_unified(table)))


def _unified(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    for name in table.column_names:
        column, table = table.select([name]), table.drop_columns([name])
        yield name, column.unify_dictionaries().combine_chunks()[name]
