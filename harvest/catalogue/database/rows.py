"""Insert many rows, also beside other processes that insert the same ones.

On PostgreSQL rows are sent with COPY, which takes half the time, and those that may exist as one JSON document, which
takes a third; see ``docs/cluster.md``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, insert, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from lightmeter.harvest.catalogue.database.database_errors import driver_cursor
from lightmeter.harvest.catalogue.models import Base


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, if there are any.

    Args:
        connection: Catalogue connection.
        table: Table to insert into.
        rows: Rows with the same columns, also those that have a default.
    """
    if rows and connection.dialect.driver == "psycopg":
        _copy(connection, table, rows)
    elif rows:
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
        rows: Rows with the same columns, also those that have a default.
        key: Column that identifies a row among these.
        id_: Primary key.
    """
    if not rows:
        return {}
    ordered = sorted(rows, key=lambda row: row[key.key])
    if connection.dialect.name == "postgresql":
        document_insert = _insert_document(table, ordered[0], (key.key, id_.key))
        return dict(connection.execute(document_insert, {"rows": _to_document(ordered)}).all())
    statement = sqlite.insert(table).on_conflict_do_nothing().returning(key, id_)
    return dict(connection.execute(statement, ordered).all())


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


def _copy(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    types = [table.__table__.c[name].type.dialect_impl(connection.dialect) for name in names]
    converters = [type_.bind_processor(connection.dialect) or _unchanged for type_ in types]
    statement = f"COPY {table.__tablename__} ({', '.join(names)}) FROM STDIN"
    with driver_cursor(connection) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([convert(row[name]) for name, convert in zip(names, converters, strict=True)])


def _unchanged(value: Any) -> Any:
    return value


def _insert_document(table: type[Base], columns: Iterable[str], returned: Iterable[str]) -> TextClause:
    """Return the statement that inserts those rows of the JSON document ``rows`` that do not exist."""
    name, names = table.__tablename__, ", ".join(columns)
    return text(
        f"INSERT INTO {name} ({names}) "  # noqa: S608 - names of tables and columns
        f"SELECT {names} FROM json_populate_recordset(NULL::{name}, CAST(:rows AS json)) "
        f"ON CONFLICT DO NOTHING RETURNING {', '.join(returned)}"
    )


def _to_document(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=datetime.isoformat, ensure_ascii=False)
