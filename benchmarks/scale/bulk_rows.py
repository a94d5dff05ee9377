"""Time of writing and reading rows of a PostgreSQL catalogue: as the catalogue does it, and by other means.

    python -m benchmarks.scale.bulk_rows [--rows 100000]

Times are processor time a row, of this process and of the server's, which other work on the machine changes little.
Rows are written in batches of the size that crawls and labelling use, and rolled back.
"""

import argparse
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, Engine, Select, insert, select, text
from sqlalchemy.dialects import postgresql

from lightmeter.harvest.catalogue.database.database_errors import driver_cursor
from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.rows import insert_missing, insert_rows
from lightmeter.harvest.catalogue.database.session import engine_for, transaction
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Label, SightingRecord

Rows = Sequence[dict[str, Any]]

_NOW = datetime.now(UTC)
_CRAWL, _LABELLING = 64, 10_000  # rows of a batch


def sightings(count: int) -> Rows:
    names: dict[str, Any] = {
        "page_url": None,
        "attribution": None,
        "medium": None,
        "published_at": _NOW,
        "file_version": None,
    }
    names |= dict.fromkeys(("concepts", "reason", "image_id"))
    names |= {"published_at": _NOW, "attempts": 0, "found_at": _NOW, "changed_at": _NOW}
    return [
        {
            **names, "run_id": 1, "source": "urls", "source_id": str(n), "media_url": f"https://example.org/{n}.jpg",
            "file": f"{n}.jpg", "owner": f"person {n // 50}", "licence": "CC0-1.0", "title": f"Street {n}",
            "tags": ["street", "night"], "source_metadata": {"id": n}, "state": "found", "host": "example.org",
        }
        for n in range(count)
    ]  # fmt: skip


def labels(count: int) -> Rows:
    same = {"target": "iso", "value": "100", "number": 0.0, "origin": "rule", "author": "lightmeter", "version": "1"}
    return [{**same, "image_id": n + 1, "created_at": _NOW} for n in range(count)]


def insert_new(connection: Connection, rows: Rows) -> None:
    insert_missing(connection, SightingRecord, rows, SightingRecord.source_id, SightingRecord.id)


def insert_with_parameters(connection: Connection, rows: Rows) -> None:
    statement = postgresql.insert(SightingRecord).on_conflict_do_nothing()
    connection.execute(statement.returning(SightingRecord.source_id, SightingRecord.id), rows).all()


def insert_from_temporary_table(connection: Connection, rows: Rows) -> None:
    """Copy rows to a temporary table, and insert from there those that do not exist."""
    names = ", ".join(rows[0])
    connection.execute(text("CREATE TEMPORARY TABLE new (LIKE sightings) ON COMMIT DROP"))
    connection.execute(text("ALTER TABLE new ALTER COLUMN id DROP NOT NULL"))
    new = type("New", (), {"__tablename__": "new", "__table__": SightingRecord.__table__})
    insert_rows(connection, new, rows)
    missing = f"INSERT INTO sightings ({names}) SELECT {names} FROM new ON CONFLICT DO NOTHING RETURNING source_id, id"
    connection.execute(text(missing)).all()
    connection.execute(text("DROP TABLE new"))


def read_with_copy(connection: Connection, query: Select[Any], schema: pa.Schema) -> pa.Table:
    """Read rows as CSV of COPY, which pyarrow parses."""
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    content = io.BytesIO()
    with driver_cursor(connection) as cursor, cursor.copy(f"COPY ({compiled}) TO STDOUT (FORMAT csv)") as copy:
        for block in copy:
            content.write(block)
    content.seek(0)
    convert = pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False)
    return pa.csv.read_csv(content, pa.csv.ReadOptions(column_names=schema.names, use_threads=False), None, convert)


@contextmanager
def timed(connection: Connection, name: str, rows: int) -> Iterator[None]:
    """Print the processor time of a block a row, of this process and of the server's."""
    server, client = _server_time(connection), time.process_time()
    yield
    client, server = time.process_time() - client, _server_time(connection) - server
    print(f"| {name} | {1e6 * client / rows:.1f} | {1e6 * server / rows:.1f} |", flush=True)


def _server_time(connection: Connection) -> float:
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_writing(engine: Engine, count: int) -> None:
    def insert_many(table: type[Base]) -> Callable[[Connection, Rows], object]:
        return lambda connection, rows: connection.execute(insert(table), rows)

    for name, rows, size, work in (
        ("new sightings: rows as parameters", sightings(count), _CRAWL, insert_with_parameters),
        ("new sightings: COPY to a temporary table", sightings(count), _CRAWL, insert_from_temporary_table),
        ("new sightings: JSON document (used)", sightings(count), _CRAWL, insert_new),
        ("labels: rows as parameters", labels(count), _LABELLING, insert_many(Label)),
        ("labels: COPY (used)", labels(count), _LABELLING, lambda c, rows: insert_rows(c, Label, rows)),
    ):
        with transaction(engine) as connection:
            with timed(connection, name, count):
                for start in range(0, count, size):
                    work(connection, rows[start : start + size])
            connection.rollback()


def measure_reading(engine: Engine, count: int) -> None:
    names = ("image_id", "make", "model", "f_number", "exposure_time_s", "iso")
    columns = [Exif.__table__.c[name] for name in names]
    types = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.float64(), pa.float64())
    schema = pa.schema([(column.key, type_) for column, type_ in zip(columns, types, strict=True)])
    fields = {"origin": "file", "raw": {}, "make": "Canon", "model": "EOS", "f_number": 2.8, "exposure_time_s": 0.01}
    with transaction(engine) as connection:
        insert_rows(connection, Exif, [{**fields, "image_id": n + 1, "iso": 100.0} for n in range(count)])
        for name, work in (("rows (used)", read_table), ("CSV of COPY", read_with_copy)) * 2:
            with timed(connection, f"reading EXIF of 10,000 photographs: {name}", count):
                for start in range(0, count, _LABELLING):
                    page = select(*columns).where(Exif.image_id.between(start + 1, start + _LABELLING))
                    work(connection, page.order_by(Exif.image_id), schema)
        connection.rollback()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    count = parser.parse_args().rows
    from tests.postgresql import PostgresServer

    server = PostgresServer(f"lm-rows-{os.getpid()}")
    try:
        engine = engine_for(server.url.format(name="postgres"))
        upgrade(engine)
        with transaction(engine) as connection:
            connection.execute(insert(HarvestRun).values(id=1, source="urls", query={}, options={}))
            images = "SELECT i, i, 'JPEG', 1, 1, 1, now() FROM generate_series(1, :n) i"
            columns = "id, sha256, format, width, height, file_size, stored_at"
            connection.execute(text(f"INSERT INTO images ({columns}) {images}"), {"n": count})
        print("| | client, µs a row | server, µs a row |\n|---|---:|---:|")
        measure_writing(engine, count)
        measure_reading(engine, count)
        engine.dispose()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
