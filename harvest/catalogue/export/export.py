"""Write a table of photographs to a file; ``.tables`` and ``.markup`` hold the formats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, true

from lightmeter.errors import UsageError
from lightmeter.files import output_path
from lightmeter.harvest.catalogue.export import markup, tables
from lightmeter.harvest.catalogue.export.columns import (
    Column,
    Value,
    available_columns,
    choose_columns,
    default_columns,
)
from lightmeter.harvest.catalogue.export.rows import BATCH, Rows, read_rows, sort_keys
from lightmeter.terminal import console

FORMATS = {
    "csv": tables.write_csv,
    "tsv": tables.write_tsv,
    "parquet": tables.write_parquet,
    "xlsx": tables.write_xlsx,
    "jsonl": tables.write_json_lines,
    "md": markup.write_markdown,
    "tex": markup.write_latex,
    "html": markup.write_html,
}
"""Writers by format, which is also the suffix of the file."""

FOR_PEOPLE = ("md", "tex", "html")
"""Formats in which numbers are written as photographers write them."""


@dataclass(frozen=True)
class TableOptions:
    """What a table contains.

    Attributes:
        columns: Names of columns; empty for the usual ones.
        sort: Names of columns to sort by, with ``-`` before the name for descending order.
        where: Condition on images; None for all.
        limit: Maximum number of rows.
    """

    columns: Sequence[str] = ()
    sort: Sequence[str] = ()
    where: ColumnElement[bool] | None = None
    limit: int | None = None


def export(engine: Engine, path: Path, file_format: str, options: TableOptions) -> tuple[int, list[str]]:
    """Write all downloaded sightings; a photograph with two sightings has two rows.

    Args:
        engine: Catalogue engine.
        path: File to write, atomically.
        file_format: A key of `FORMATS`.
        options: Columns, order and selection.

    Returns:
        Number of rows and names of the columns.

    Raises:
        UsageError: A column is unknown, or the format cannot hold so many rows.
    """
    number = 0
    with (
        engine.connect() as connection,
        output_path(path) as temporary,
        console.get_console().progress() as progress,
    ):
        columns, batches = open_table(connection, options, for_people=file_format in FOR_PEOPLE)
        task = progress.add_task("exporting", total=None)

        def counted() -> Iterator[Rows]:
            nonlocal number
            for batch in batches:
                number += len(batch)
                progress.update(task, completed=number)
                yield batch

        FORMATS[file_format](temporary, columns, counted())
    return number, [column.name for column in columns]


def open_table(
    connection: Connection, options: TableOptions, *, for_people: bool
) -> tuple[list[Column], Iterator[Rows]]:
    """Return the columns of a table and its rows in batches.

    Args:
        connection: Catalogue connection.
        options: Columns, order and selection.
        for_people: Whether the usual columns are those for people.

    Raises:
        UsageError: A column is unknown.
    """
    available = available_columns(connection)
    columns = choose_columns(available, options.columns) or default_columns(available, for_people=for_people)
    names = [name.strip() for name in options.sort]
    keys = choose_columns(available, (name.removeprefix("-") for name in names))
    order = sort_keys([(key, name.startswith("-")) for key, name in zip(keys, names, strict=True)])
    where = true() if options.where is None else options.where
    return columns, read_rows(connection, columns, where, order, options.limit)


def example_values(connection: Connection, columns: Sequence[Column]) -> dict[str, Value]:
    """Return the first value of each column among the first photographs, by name; None where they have none."""
    rows = [row for batch in read_rows(connection, columns, true(), limit=BATCH) for row in batch]
    return {
        column.name: next((value for row in rows if (value := column.value(row)) is not None), None)
        for column in columns
    }


def split_names(text: str | None, option: str) -> list[str]:
    """Return the names of a list with commas.

    Raises:
        UsageError: The list is given but empty, or has an empty name.
    """
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{option} needs names with commas between them, for example {option} file,camera,shutter.")
    return names
