"""``lightmeter catalogue``: upgrade, inspect and export the SQL catalogue."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lightmeter import console
from lightmeter.commands import command_group
from lightmeter.console import table
from lightmeter.harvest.commands.options import Where, condition_of
from lightmeter.project import find_project

app = command_group("Upgrade, inspect and export the SQL catalogue.")


@app.command()
def upgrade() -> None:
    """Migrate the catalogue schema to the current version; a SQLite catalogue is copied before."""
    from lightmeter.harvest.catalogue import migrate
    from lightmeter.harvest.catalogue.session import catalogue_url, engine_for

    engine, head = engine_for(catalogue_url(find_project())), migrate.head()
    before = migrate.revision_of(engine)
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
    from lightmeter.harvest.catalogue.migrate import head
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.catalogue.statistics import catalogue_info

    engine = open_engine(find_project())
    counts = catalogue_info(engine)
    url = engine.url.render_as_string(hide_password=True)
    console.get_console().emit(
        {"url": url, "revision": head(), "rows": counts},
        table(f"{url}, revision {head()}", ("table", "rows"), list(counts.items())),
    )


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Output file.", show_default="catalogue.FORMAT")] = None,
    file_format: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="File format.")] = "csv",
    where: Where = "",
) -> None:
    """Export a table of all photographs: source, licence, EXIF, size and measures."""
    from lightmeter.harvest.catalogue.export import export as write_export
    from lightmeter.harvest.catalogue.session import open_engine

    file, condition = file or Path(f"catalogue.{file_format}"), condition_of(where)
    rows, columns = write_export(open_engine(find_project()), file, file_format, condition)
    console.get_console().emit(
        {"file": file.absolute(), "rows": rows, "columns": columns}, f"Exported {rows} photographs to {file}."
    )


@app.command()
def show(
    photograph: Annotated[
        str,
        typer.Argument(metavar="PHOTO", help="File, SHA-256 (or its first digits), or file name or id at the source."),
    ],
) -> None:
    """Show all metadata of a photograph and its origin."""
    from lightmeter.harvest.catalogue.lookup import describe_photograph
    from lightmeter.harvest.catalogue.session import open_engine

    document = describe_photograph(open_engine(find_project()), photograph)
    console.get_console().emit(document, _photograph_tables(document))


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
