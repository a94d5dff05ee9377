"""Export the catalogue as one table with a row per downloaded sighting."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, Connection, Engine, select, true

from lightmeter import console
from lightmeter.exposure import nominal_settings
from lightmeter.files import atomic_path
from lightmeter.harvest.catalogue.exif_view import arrow_type, resolved_exif
from lightmeter.harvest.catalogue.models import Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS
from lightmeter.text.spreadsheets import quote_row

Format = Literal["csv", "parquet"]
Rows = list[dict[str, Any]]

_SIGHTING_COLUMNS = ("source", "source_id", "page_url", "owner", "licence", "attribution")
_NOMINAL = {"nominal_f_number": "f_number", "nominal_exposure_time_s": "exposure_time_s", "nominal_iso": "iso"}
_TYPES = (
    {name: arrow_type(name) for name in CAPTURE_COLUMNS}
    | dict.fromkeys(("width", "height"), pa.int32())
    | dict.fromkeys(_NOMINAL, pa.float64())
)
_BATCH = 2_000


def export(
    engine: Engine, path: Path, file_format: Format, where: ColumnElement[bool] | None = None
) -> tuple[int, list[str]]:
    """Write all downloaded sightings in order of discovery; a photograph with two sightings has two rows.

    Args:
        engine: Catalogue engine.
        path: File to write, atomically.
        file_format: Format of the file.
        where: Condition on images; None for all.

    Returns:
        Number of rows and names of the columns.
    """
    with (
        engine.connect() as connection,
        atomic_path(path) as temporary,
        console.get_console().progress() as progress,
    ):
        measures = _measure_columns(connection)
        columns = [
            "sha256", *_SIGHTING_COLUMNS, *CAPTURE_COLUMNS, "width", "height", "file", *_NOMINAL, *measures
        ]  # fmt: skip
        task = progress.add_task("exporting", total=None)
        number = 0

        def batches() -> Iterator[Rows]:
            nonlocal number
            for batch in _batches(connection, true() if where is None else where):
                number += len(batch)
                progress.update(task, completed=number)
                yield batch

        _WRITERS[file_format](temporary, columns, measures, batches())
    return number, columns


def _batches(connection: Connection, where: ColumnElement[bool]) -> Iterator[Rows]:
    columns = (*SightingRecord.__table__.c, Image.sha256, Image.width, Image.height)
    query = select(*columns).join(Image, Image.id == SightingRecord.image_id).where(where).order_by(SightingRecord.id)
    last = 0
    while rows := connection.execute(query.where(SightingRecord.id > last).limit(_BATCH)).mappings().all():
        yield _with_image_data(connection, [dict(row) for row in rows])
        last = rows[-1]["id"]


def _with_image_data(connection: Connection, rows: Rows) -> Rows:
    """Add EXIF, nominal settings and measures of their images to sightings."""
    images = sorted({row["image_id"] for row in rows})
    exif = resolved_exif(connection, images)
    measures = _measures(connection, images)
    return [
        _with_nominal_settings(row | exif.get(row["image_id"], {}) | measures.get(row["image_id"], {})) for row in rows
    ]


def _with_nominal_settings(row: dict[str, Any]) -> dict[str, Any]:
    nominal = nominal_settings(**{exact: row.get(exact) for exact in _NOMINAL.values()})
    return row | {name: nominal[exact] for name, exact in _NOMINAL.items()}


def _measures(connection: Connection, images: Sequence[int]) -> dict[int, dict[str, Any]]:
    query = select(Inspection.image_id, Inspection.filter, Inspection.measures).where(Inspection.image_id.in_(images))
    measures: dict[int, dict[str, Any]] = {}
    for image_id, name, values in connection.execute(query):
        measures.setdefault(image_id, {}).update(_plain_measures(name, values))
    return measures


def _measure_columns(connection: Connection) -> list[str]:
    """Return one column per measure, taken from the newest inspection of each filter."""
    newest = select(Inspection.measures).order_by(Inspection.id.desc()).limit(1)
    columns: list[str] = []
    for name in connection.scalars(select(Inspection.filter).distinct().order_by(Inspection.filter)).all():
        columns += _plain_measures(name, connection.scalars(newest.where(Inspection.filter == name)).one())
    return columns


def _plain_measures(filter_name: str, measures: dict[str, Any]) -> dict[str, Any]:
    """Return measures with a plain value by their column; lists and mappings are not exported."""
    return {
        f"{filter_name}_{name}": value
        for name, value in measures.items()
        if value is None or isinstance(value, str | int | float)
    }


def _write_csv(path: Path, columns: Sequence[str], _measures: Sequence[str], batches: Iterator[Rows]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for batch in batches:
            writer.writerows(map(quote_row, batch))


def _write_parquet(path: Path, columns: Sequence[str], measures: Sequence[str], batches: Iterator[Rows]) -> None:
    first = next(batches, [])
    types = {name: _measure_type(name, first) for name in measures} | _TYPES
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(first, schema))
        for batch in batches:
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _measure_type(name: str, rows: Rows) -> pa.DataType:
    sample = next((row[name] for row in rows if row.get(name) is not None), 0.0)
    if isinstance(sample, bool):
        return pa.bool_()
    return pa.string() if isinstance(sample, str) else pa.float64()


_WRITERS: dict[Format, Callable[[Path, Sequence[str], Sequence[str], Iterator[Rows]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}
