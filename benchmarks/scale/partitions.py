"""Processor time of PostgreSQL for the statements of crawls and exports, on one table and on hash partitions.

    python -m benchmarks.scale.partitions [--photographs 1000000] [--partitions 16]

The partitioned table lacks what PostgreSQL does not offer for it: beside ``id``, by which it is partitioned, no other
key can be unique, so that two crawls could add a photograph twice.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import psycopg

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for
from tests.postgresql import PostgresServer

_BATCH, _LOOKUPS = 2_000, 2_000
_COLUMNS = "id, run_id, source, source_id, media_url, file, owner, licence, state, host, attempts, found_at, changed_at"
_ROWS = """
SELECT i, 1 + i %% 8, 'urls', i::text, 'https://h' || i %% 500 || '.example.org/' || i || '.jpg', i || '.jpg',
       'owner ' || i / 50, 'CC0-1.0', (ARRAY['fetched', 'fetched', 'fetched', 'gone'])[1 + i %% 4],
       'h' || i %% 500 || '.example.org', 1, now(), now()
FROM generate_series(%s + 1, %s) i
"""


class Measurement:
    """Statements on one table.

    Args:
        connection: Connection of psycopg, which commits each statement.
        table: Name of the table.
        rows: Number of its rows.
    """

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]", table: str, rows: int) -> None:
        self._connection, self._table, self._rows = connection, table, rows

    def run(self) -> dict[str, float]:
        """Return the processor time of the server by what was done, in seconds."""
        works: dict[str, Callable[[], None]] = {
            "insert in batches of 2,000": self._insert,
            "status: count by run and state": self._count,
            "export: pages of 2,000 ids": self._read_pages,
            "2,000 lookups of 64 source ids": self._look_up,
            "change a tenth of the rows, vacuum": self._vacuum,
        }
        times = {}
        for name, work in works.items():
            started = self._processor_time()
            work()
            times[name] = self._processor_time() - started
        return times

    def _insert(self) -> None:
        for start in range(0, self._rows, _BATCH):
            rows = (start, min(start + _BATCH, self._rows))
            self._connection.execute(f"INSERT INTO {self._table} ({_COLUMNS}) {_ROWS}", rows)
        self._execute("VACUUM ANALYZE {}")

    def _count(self) -> None:
        self._execute("SELECT run_id, state, count(*) FROM {} GROUP BY run_id, state")

    def _read_pages(self) -> None:
        for start in range(0, self._rows, _BATCH):
            self._execute("SELECT * FROM {} WHERE id > %s AND id <= %s ORDER BY id", start, start + _BATCH)

    def _look_up(self) -> None:
        for number in range(_LOOKUPS):
            ids = [str(1 + (number * 7919 + step * 104729) % self._rows) for step in range(64)]
            self._execute("SELECT id FROM {} WHERE source = 'urls' AND source_id = ANY(%s)", ids)

    def _vacuum(self) -> None:
        self._execute("UPDATE {} SET state = 'failed' WHERE id %% 10 = %s", 0)
        self._execute("VACUUM {}")

    def _execute(self, statement: str, *parameters: object) -> None:
        self._connection.execute(statement.format(self._table), parameters or None)

    def _processor_time(self) -> float:
        fields = Path(f"/proc/{self._connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def create_partitioned(connection: "psycopg.Connection[tuple[object, ...]]", partitions: int) -> None:
    """Create a table ``partitioned`` with the columns and, as far as possible, the indexes of ``sightings``."""
    columns = "LIKE sightings INCLUDING DEFAULTS, PRIMARY KEY (id)"
    connection.execute(f"CREATE TABLE partitioned ({columns}) PARTITION BY HASH (id)")
    for number in range(partitions):
        values = f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})"
        connection.execute(f"CREATE TABLE partitioned_{number} PARTITION OF partitioned {values}")
    query = "SELECT indexdef FROM pg_indexes WHERE tablename = 'sightings' AND indexname <> 'pk_sightings'"
    for (definition,) in connection.execute(query).fetchall():
        _, _, rest = str(definition).partition(" USING ")
        connection.execute(f"CREATE INDEX ON partitioned USING {rest}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=16)
    arguments = parser.parse_args()
    server = PostgresServer(f"lm-parts-{os.getpid()}")
    try:
        engine = engine_for(server.url.format(name="postgres"))
        upgrade(engine)
        engine.dispose()
        with psycopg.connect(server.url.format(name="postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO runs (source, query, options, state, new, existing, started_at) "
                "SELECT 'urls', '{}', '{}', 'finished', 0, 0, now() FROM generate_series(1, 8)"
            )
            create_partitioned(connection, arguments.partitions)
            plain, partitioned = (
                Measurement(connection, table, arguments.photographs).run() for table in ("sightings", "partitioned")
            )
        print(f"| {arguments.photographs:,} sightings | one table, s | {arguments.partitions} partitions, s |")
        print("|---|---:|---:|")
        for name, seconds in plain.items():
            print(f"| {name} | {seconds:.1f} | {partitioned[name]:.1f} |")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
