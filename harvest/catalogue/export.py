"""The catalogue as one table: a row for each photograph seen, a column for each thing known."""

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
from lightmeter.harvest.catalogue.models import Image, Inspection, Sighting
from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS

Format = Literal["csv", "parquet"]
Rows = list[dict[str, Any]]

SEEN = ("source", "source_id", "page_url", "owner", "licence", "attribution")
SIZE = ("width", "height")
NOMINAL = {"nominal_f_number": "f_number", "nominal_exposure_time_s": "exposure_time_s", "nominal_iso": "iso"}
"""The settings as cameras name them, to the third of a stop, beside the exact ones."""
_PAGE = 2_000
_KINDS = (
    {name: arrow_type(name) for name in CAPTURE_COLUMNS}
    | dict.fromkeys(SIZE, pa.int32())
    | dict.fromkeys(NOMINAL, pa.float64())
)


def export(
    engine: Engine, target: Path, form: Format, chosen: ColumnElement[bool] | None = None
) -> tuple[int, list[str]]:
    """Write every fetched photograph, in the order of discovery; a photograph seen twice has two rows.

    Args:
        engine: of the catalogue.
        target: the file to write, whole or not at all.
        form: its format.
        chosen: the condition on images; None for all.

    Returns:
        The number of rows, and the columns.
    """
    with (
        engine.connect() as connection,
        atomic_path(target) as temporary,
        console.get_console().progress() as progress,
    ):
        measures = _measure_columns(connection)
        columns = ["sha256", *SEEN, *CAPTURE_COLUMNS, *SIZE, "file", *NOMINAL, *measures]
        task = progress.add_task("exporting", total=None)
        number = 0

        def counted() -> Iterator[Rows]:
            nonlocal number
            for page in _pages(connection, true() if chosen is None else chosen):
                number += len(page)
                progress.update(task, completed=number)
                yield page

        _WRITERS[form](temporary, columns, measures, counted())
    return number, columns


def _pages(connection: Connection, chosen: ColumnElement[bool]) -> Iterator[Rows]:
    last = 0
    while True:
        query = (
            select(Sighting, Image.sha256, Image.width, Image.height)
            .join(Image, Image.id == Sighting.image_id)
            .where(Sighting.id > last, chosen)
            .order_by(Sighting.id)
            .limit(_PAGE)
        )
        page = (
            connection.execute(query.with_only_columns(*Sighting.__table__.c, Image.sha256, Image.width, Image.height))
            .mappings()
            .all()
        )
        if not page:
            return
        yield _filled(connection, [dict(row) for row in page])
        last = page[-1]["id"]


def _filled(connection: Connection, page: Rows) -> Rows:
    """Add to a page of sightings what is known of their images."""
    images = sorted({row["image_id"] for row in page})
    exif = resolved_exif(connection, images[0], images[-1])
    measures: dict[int, dict[str, Any]] = {}
    query = select(Inspection.image_id, Inspection.filter, Inspection.measures).where(Inspection.image_id.in_(images))
    for image, name, values in connection.execute(query):
        measures.setdefault(image, {}).update(
            {f"{name}_{key}": value for key, value in values.items() if _is_plain(value)}
        )
    return [_with_nominal(row | exif.get(row["image_id"], {}) | measures.get(row["image_id"], {})) for row in page]


def _with_nominal(row: dict[str, Any]) -> dict[str, Any]:
    nominal = nominal_settings(**{exact: row.get(exact) for exact in NOMINAL.values()})
    return row | {name: nominal[exact] for name, exact in NOMINAL.items()}


def _measure_columns(connection: Connection) -> list[str]:
    """Return a column for each measure; each filter's newest inspection shows what it measures."""
    names = connection.scalars(select(Inspection.filter).distinct().order_by(Inspection.filter)).all()
    columns = []
    for name in names:
        query = select(Inspection.measures).where(Inspection.filter == name).order_by(Inspection.id.desc()).limit(1)
        values = connection.scalars(query).one()
        columns += [f"{name}_{key}" for key, value in values.items() if _is_plain(value)]
    return columns


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _write_csv(target: Path, columns: Sequence[str], _measures: Sequence[str], pages: Iterator[Rows]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for page in pages:
            writer.writerows(page)


def _write_parquet(target: Path, columns: Sequence[str], measures: Sequence[str], pages: Iterator[Rows]) -> None:
    first = next(pages, [])
    kinds = {name: _measure_kind(name, first) for name in measures} | _KINDS
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns])
    with pq.ParquetWriter(target, schema) as writer:
        for page in [first] if first else []:
            writer.write_table(pa.Table.from_pylist(page, schema))
        for page in pages:
            writer.write_table(pa.Table.from_pylist(page, schema))


def _measure_kind(name: str, page: Rows) -> pa.DataType:
    sample = next((row[name] for row in page if row.get(name) is not None), 0.0)
    if isinstance(sample, bool):
        return pa.bool_()
    return pa.string() if isinstance(sample, str) else pa.float64()


_WRITERS: dict[Format, Callable[[Path, Sequence[str], Sequence[str], Iterator[Rows]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}
