"""``lightmeter catalogue``: list, export, edit and upgrade the SQL catalogue."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lightmeter.errors import UsageError
from lightmeter.files import format_of, write_output
from lightmeter.harvest.commands.options import Where
from lightmeter.project import find_project
from lightmeter.terminal import console
from lightmeter.terminal.commands import Yes, command_group, confirm_removal
from lightmeter.terminal.console import table
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.harvest.catalogue.export.summary import Summary

app = command_group("List, export, edit and upgrade the SQL catalogue.")

_SUFFIXES = ".csv, .tsv, .parquet, .xlsx, .jsonl, .md (Markdown), .tex (LaTeX) or .html"
_MAX_EXAMPLE = 40
_BAR_WIDTH = 25


@app.command()
def upgrade() -> None:
    """Migrate the catalogue schema to the current version; a SQLite catalogue is copied before."""
    from lightmeter.harvest.catalogue.database import migrate
    from lightmeter.harvest.catalogue.database.session import connect

    (engine, before), head = connect(find_project()), migrate.head()
    copy = migrate.upgrade(engine)
    if before == head:
        message = f"The catalogue already has the current revision {head}."
    else:
        message = f"Upgraded the catalogue from revision {before or 'none'} to {head}."
        message += f" A copy of the old one is {copy}." if copy else ""
    console.get_console().emit({"before": before, "revision": head, "copy": copy}, message)


@app.command()
def info() -> None:
    """Show catalogue location, revision and number of rows."""
    from lightmeter.harvest.catalogue.database.migrate import head
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.statistics import catalogue_info

    engine = open_engine(find_project())
    counts = catalogue_info(engine)
    url = engine.url.render_as_string(hide_password=True)
    console.get_console().emit(
        {"url": url, "revision": head(), "rows": counts},
        table(f"{url}, revision {head()}", ("table", "rows"), list(counts.items())),
    )


Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…", help="Columns, for example file,camera,shutter,f_number,label.medium ('catalogue columns')."
    ),
]
Sort = Annotated[str | None, typer.Option(metavar="NAME,…", help="Columns to sort by; -NAME sorts from high to low.")]


@app.command(name="list")
def list_(
    where: Where = "",
    columns: Columns = None,
    sort: Sort = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of rows; 0: all.")] = 100,
) -> None:
    """List photographs with camera, settings, date and labels; settings are written as photographers write them."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.export.export import TableOptions, open_table, split_names
    from lightmeter.harvest.catalogue.export.rows import count_rows
    from lightmeter.harvest.catalogue.query.parser import condition_of

    condition = condition_of(where)
    names, order = split_names(columns, "--columns"), split_names(sort, "--sort")
    with open_engine(find_project()).connect() as connection:
        options = TableOptions(names, order, condition, limit or None)
        selected, batches = open_table(connection, options, for_people=True)
        rows = [row for batch in batches for row in batch]
        more = ""
        if len(rows) == limit and not console.get_console().json:
            number, is_complete = count_rows(connection, condition)
            total = counted(number, "row") if is_complete else f"more than {counted(max(number, limit), 'row')}"
            more = f"{limit} of {total}; --limit 0 lists all." if number > limit or not is_complete else ""
    cells = [[column.text(row) for column in selected] for row in rows]
    console.get_console().emit(
        [{column.name: column.value(row) for column in selected} for row in rows],
        [table("", [column.title for column in selected], cells), *([more] if more else [])]
        if rows
        else "The catalogue has no photographs yet.",
    )


@app.command()
def stats(
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME,…", help="Columns to count by, for example camera,lens,year."),
    ] = None,
    where: Where = "",
    html: Annotated[Path | None, typer.Option(help="Page of plots to write (.html).")] = None,
) -> None:
    """Count photographs by camera, lens, settings, year or any other column."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.export.export import TableOptions, split_names
    from lightmeter.harvest.catalogue.export.summary import DEFAULT_COLUMNS, summarise, write_page
    from lightmeter.harvest.catalogue.query.parser import condition_of

    if html is not None:
        format_of(html, {".html": "html"}, default="html")
    options = TableOptions(split_names(by, "--by") or DEFAULT_COLUMNS, where=condition_of(where))
    photographs, summaries = summarise(open_engine(find_project()), options)
    if html is not None:
        write_output(html, write_page(photographs, summaries, where))
    document = {
        "photographs": photographs,
        "by": {summary.column.name: {"counts": summary.counts, "unknown": summary.unknown} for summary in summaries},
        "page": html,
    }
    tables = [_bar_table(summary) for summary in summaries if summary.counts or summary.unknown]
    page = [f"Page: {html}"] if html else []
    console.get_console().emit(document, [*tables, f"{counted(photographs, 'photograph')}.", *page])


def _bar_table(summary: "Summary") -> Any:
    rows = list(summary.shown())
    highest = max(count for _, count in rows)
    bars = [(name, count, "█" * round(_BAR_WIDTH * count / highest)) for name, count in rows]
    return table("", (summary.column.title, "photographs", ""), bars)


@app.command()
def columns() -> None:
    """List the columns of tables of photographs: name, heading, unit and an example."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.export.columns import available_columns
    from lightmeter.harvest.catalogue.export.export import example_values

    with open_engine(find_project()).connect() as connection:
        available = available_columns(connection)
        examples = example_values(connection, list(available.values()))
    rows = [
        {"name": c.name, "heading": c.title, "type": c.type.__name__, "unit": c.unit, "example": examples[c.name]}
        for c in available.values()
    ]
    cells = [(row["name"], row["heading"], row["unit"], _shortened(row["example"])) for row in rows]
    console.get_console().emit(rows, table("", ("name", "heading", "unit", "example"), cells))


@app.command()
def export(
    file: Annotated[
        Path | None,
        typer.Argument(
            help=f"Output file, or - for standard output; the suffix is the format: {_SUFFIXES}.",
            show_default="catalogue.FORMAT",
        ),
    ] = None,
    file_format: Annotated[
        Literal["csv", "tsv", "parquet", "xlsx", "jsonl", "md", "tex", "html"] | None,
        typer.Option("--format", help="Format of an output without a suffix.", show_default="csv"),
    ] = None,
    where: Where = "",
    columns: Columns = None,
    sort: Sort = None,
) -> None:
    """Export a table of photographs: source, licence, EXIF, size, measures and labels, or the columns you choose."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.export.export import FORMATS, TableOptions, split_names
    from lightmeter.harvest.catalogue.export.export import export as write_export
    from lightmeter.harvest.catalogue.query.parser import condition_of

    file = file or Path(f"catalogue.{file_format or 'csv'}")
    selected = format_of(file, {f".{name}": name for name in FORMATS}, default=file_format or "csv")
    if file_format not in (None, selected):
        raise UsageError(f"--format {file_format} contradicts the suffix of {file}; leave one of them out.")
    options = TableOptions(split_names(columns, "--columns"), split_names(sort, "--sort"), condition_of(where))
    rows, names = write_export(open_engine(find_project()), file, selected, options)
    console.get_console().emit(
        {"file": file.absolute(), "rows": rows, "columns": names}, f"Exported {counted(rows, 'photograph')} to {file}."
    )


@app.command()
def show(
    photograph: Annotated[
        str,
        typer.Argument(metavar="PHOTO", help="File, SHA-256 (or its first digits), or file name or id at the source."),
    ],
) -> None:
    """Show all metadata of a photograph and its origin."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.lookup import describe_photograph

    document = describe_photograph(open_engine(find_project()), photograph)
    console.get_console().emit(document, _photograph_tables(document))


@app.command()
def edit(
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=VALUE", help="New owner, licence, medium, attribution or title; an empty value deletes."
        ),
    ],
    where: Where = "",
) -> None:
    """Change owner, licence, medium, attribution or title of photographs; later harvests keep the changes."""
    from lightmeter.harvest.catalogue.changes.edits import edit as edit_sightings
    from lightmeter.harvest.catalogue.changes.edits import parse_changes
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of

    values, condition = parse_changes(changes), condition_of(where)
    if condition is None:
        raise UsageError("Select the photographs to edit with --where QUERY.")
    number = edit_sightings(open_engine(find_project()), condition, values)
    console.get_console().emit({"photographs": number, "changes": values}, f"Edited {counted(number, 'photograph')}.")


@app.command()
def remove(
    where: Where = "",
    hashes: Annotated[
        list[str] | None,
        typer.Option("--sha256", metavar="SHA256", help="SHA-256 of a photograph (repeatable)."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove photographs for good: files, metadata, labels and derived files. They are not harvested again."""
    from lightmeter.harvest.catalogue.changes import removal
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of

    condition, selected = condition_of(where), [_parse_sha256(text) for text in hashes or ()]
    if condition is None and not selected:
        raise UsageError("Select the photographs to remove with --where QUERY or --sha256 SHA256.")
    project = find_project()
    engine = open_engine(project)
    plan = removal.select_removal(engine, condition, selected)
    if plan.hashes:
        confirm_removal(counted(plan.photographs, "photograph"), yes=yes)
    files = removal.remove(engine, project, plan) if plan.hashes else 0
    document = {
        "photographs": plan.photographs,
        "sha256": plan.hashes,
        "files": files,
        "datasets": {name: str(folder) for name, folder in plan.datasets.items()},
    }
    lines = [f"Removed {counted(plan.photographs, 'photograph')} and {counted(files, 'file')}."]
    if plan.photographs < len(plan.hashes):
        lines.append(
            f"Not in the catalogue, and kept out of it: {counted(len(plan.hashes) - plan.photographs, 'photograph')}."
        )
    if plan.datasets:
        lines.append(
            f"These data sets and their exports still name them; create new versions: {', '.join(plan.datasets)}."
        )
    console.get_console().emit(document, lines)


def _shortened(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _MAX_EXAMPLE else f"{text[: _MAX_EXAMPLE - 1]}…"


def _parse_sha256(text: str) -> str:
    sha256 = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UsageError(f"'{text}' is not a SHA-256 of 64 hexadecimal digits.")
    return sha256


def _photograph_tables(document: dict[str, Any]) -> list[Any]:
    image = document["image"]
    size = f"{image['width']} × {image['height']}, {image['file_size']:,} bytes"
    tables = [
        _table("Sightings", document["sightings"], "source", "file", "owner", "licence", "page_url"),
        _exif_table(document),
        _table(
            "Filters",
            [row | {"measures": _format_measures(row["measures"])} for row in document["inspections"]],
            "filter", "verdict", "reason", "measures",
        ),
        _table("Regions", document["regions"], "kind", "x", "y", "width", "height", "score"),
        _table("Labels", document["labels"], "target", "value", "origin", "author"),
    ]  # fmt: skip
    return [f"{image['sha256']}: {image['format']}, {size}", *(table for table in tables if table.row_count)]


def _table(title: str, rows: list[dict[str, Any]], *columns: str) -> Any:
    return table(title, columns, [[row[column] for column in columns] for row in rows])


def _exif_table(document: dict[str, Any]) -> Any:
    from lightmeter.harvest.exif.columns import EXIF_COLUMNS

    rows = []
    for column, effective in document["exif"].items():
        nominal = document["nominal"].get(column)
        others = ", ".join(f"{other['origin']}: {other['value']}" for other in effective["disagree"])
        formatted = EXIF_COLUMNS[column].format(nominal) if nominal else None
        rows.append((column, effective["value"], formatted, effective["origin"], others))
    return table("EXIF", ("", "value", "nominal", "origin", "other origins"), rows)


def _format_measures(measures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in measures.items()
    )
