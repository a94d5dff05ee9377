"""Adding many rows at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from lightmeter.harvest.catalogue.models import Base


def add_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a table; PostgreSQL takes them by COPY, in half the time and a fifth of ours.

    Args:
        connection: to the catalogue.
        table: without columns of JSON among those given.
        rows: with the same columns each.
    """
    if not rows:
        return
    if connection.dialect.driver != "psycopg":
        connection.execute(insert(table), list(rows))
        return
    columns = ", ".join(rows[0])
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.__tablename__} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))
