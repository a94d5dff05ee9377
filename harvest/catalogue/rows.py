"""Insert many rows, also beside other processes that insert the same ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from lightmeter.harvest.catalogue.models import Base


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), list(rows))


def insert_missing(
    connection: Connection,
    table: type[Base],
    rows: Sequence[Mapping[str, Any]],
    key: InstrumentedAttribute[str],
    id_: InstrumentedAttribute[Any],
) -> dict[str, Any]:
    """Insert the rows that do not exist yet, and return their ids by key.

    Rows are inserted in the order of the key, so that two processes never wait for each other.

    Args:
        connection: Catalogue connection.
        table: Table with a unique constraint.
        rows: Rows with the same columns.
        key: Column that identifies a row among these.
        id_: Primary key.
    """
    if not rows:
        return {}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(key, id_)
    return dict(connection.execute(statement, sorted(rows, key=lambda row: row[key.key])).all())


def upsert(connection: Connection, table: type[Base], row: Mapping[str, Any], where: Any = None) -> Any:
    """Return the statement that inserts a row, or updates the one that exists.

    Args:
        connection: Catalogue connection.
        table: Table.
        row: Values, with those of the primary key.
        where: Condition for the update; nothing is returned for a row that does not meet it.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in inspect(table).primary_key]
    statement = dialect.insert(table).values(row)
    changes = {name: value for name, value in row.items() if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changes, where=where)


def copy_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows without JSON values; on PostgreSQL with COPY, which takes half the time.

    Args:
        connection: Catalogue connection.
        table: Table to insert into.
        rows: Rows with the same columns in the same order.
    """
    if not rows or connection.dialect.driver != "psycopg":
        insert_rows(connection, table, rows)
        return
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.__tablename__} ({', '.join(rows[0])}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))
