"""``lightmeter catalogue``: the SQL catalogue."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lightmeter import console
from lightmeter.commands import command_group
from lightmeter.console import table

app = command_group("Upgrade, count and export the SQL catalogue.")


@app.command()
def upgrade() -> None:
    """Bring the catalogue to the revision that this Lightmeter needs; nothing in it is lost."""
    from lightmeter.harvest.catalogue.migrate import head, revision_of
    from lightmeter.harvest.catalogue.migrate import upgrade as upgrade_catalogue
    from lightmeter.harvest.catalogue.session import engine_for, reachable
    from lightmeter.project import find_project

    engine = engine_for(find_project().catalogue_url)
    with reachable():
        before = revision_of(engine)
        upgrade_catalogue(engine)
    moved = f"Catalogue upgraded from revision {before or 'none'} to {head()}."
    console.get_console().emit(
        {"before": before, "revision": head()},
        f"The catalogue is at revision {head()} already." if before == head() else moved,
    )


@app.command()
def info() -> None:
    """Say where the catalogue is, at which revision, and how much is in it."""
    from lightmeter.harvest.catalogue.migrate import head
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.catalogue.statistics import catalogue_info
    from lightmeter.project import find_project

    engine = open_engine(find_project())
    counts = catalogue_info(engine)
    where = engine.url.render_as_string(hide_password=True)
    console.get_console().emit(
        {"url": where, "revision": head(), "rows": counts},
        table(f"{where}, revision {head()}", ("table", "rows"), list(counts.items())),
    )


@app.command()
def export(
    target: Annotated[Path | None, typer.Argument(help="File to write.", show_default="catalogue.FORMAT")] = None,
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="What to write.")] = "csv",
    where: Annotated[str, typer.Option(metavar="QUERY", help="Only photographs that answer to a query.")] = "",
) -> None:
    """Write a table of every photograph: source, licence, EXIF, size and measures."""
    from lightmeter.harvest.catalogue.export import export as write
    from lightmeter.harvest.catalogue.query.parser import parse_where
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.project import find_project

    target, chosen = target or Path(f"catalogue.{form}"), parse_where(where) if where else None
    number, columns = write(open_engine(find_project()), target, form, chosen)
    console.get_console().emit(
        {"file": target.absolute(), "rows": number, "columns": columns},
        f"{number} photographs written to {target}.",
    )


@app.command()
def show(
    photograph: Annotated[
        str, typer.Argument(help="SHA-256 or its beginning, name or id at the source, or a file.", metavar="PHOTO")
    ],
) -> None:
    """Print everything known about one photograph, and where it comes from."""
    from lightmeter.harvest.catalogue.lookup import describe_photograph
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.project import find_project

    document = describe_photograph(open_engine(find_project()), photograph)
    console.get_console().emit(document, _tables_of(document))


def _tables_of(document: dict[str, Any]) -> list[Any]:
    """Return what is known of a photograph, to read."""
    from lightmeter.harvest.exif.columns import EXIF_COLUMNS

    image, nominal = document["image"], document["nominal"]
    size = f"{image['width']} × {image['height']}, {image['file_size']:,} bytes"
    exif = [
        (
            column,
            told["value"],
            EXIF_COLUMNS[column].format(nominal[column]) if nominal.get(column) else None,
            told["origin"],
            ", ".join(f"{other['origin']}: {other['value']}" for other in told["disagree"]),
        )
        for column, told in document["exif"].items()
    ]
    seen = [
        (row["source"], row["file"], row["owner"], row["licence"], row["page_url"]) for row in document["sightings"]
    ]
    said = [
        (row["filter"], row["verdict"], row["reason"], _measures(row["measures"])) for row in document["inspections"]
    ]
    boxes = [
        (row["kind"], row["x"], row["y"], row["width"], row["height"], row["score"]) for row in document["regions"]
    ]
    labels = [(row["target"], row["value"], row["origin"], row["author"]) for row in document["labels"]]
    tables = [
        table("Seen", ("source", "file", "owner", "licence", "page"), seen),
        table("EXIF", ("", "value", "nominal", "from", "others say"), exif),
        table("Filters", ("filter", "verdict", "reason", "measures"), said),
        table("Regions", ("kind", "x", "y", "width", "height", "score"), boxes),
        table("Labels", ("target", "value", "from", "author"), labels),
    ]
    return [f"{image['sha256']}: {image['format']}, {size}", *(one for one in tables if one.row_count)]


def _measures(measures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in measures.items()
    )
