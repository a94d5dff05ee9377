"""``lightmeter catalogue``: the SQL catalogue."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lightmeter import console
from lightmeter.commands import group
from lightmeter.console import table

app = group("Upgrade, count and export the SQL catalogue.")


@app.command()
def upgrade() -> None:
    """Bring the catalogue to the revision that this Lightmeter needs; nothing in it is lost."""
    from harvest.catalogue.revisions import head, revision_of
    from harvest.catalogue.revisions import upgrade as upgrade_catalogue
    from harvest.catalogue.session import engine_for, reachable
    from lightmeter.project import find

    engine = engine_for(find().catalogue_url)
    with reachable():
        before = revision_of(engine)
        upgrade_catalogue(engine)
    moved = f"Catalogue upgraded from revision {before or 'none'} to {head()}."
    console.current().emit(
        {"before": before, "revision": head()},
        f"The catalogue is at revision {head()} already." if before == head() else moved,
    )


@app.command()
def info() -> None:
    """Say where the catalogue is, at which revision, and how much is in it."""
    from harvest.catalogue.queries import catalogue_info
    from harvest.catalogue.revisions import head
    from harvest.catalogue.session import open_catalogue
    from lightmeter.project import find

    engine = open_catalogue(find())
    counts = catalogue_info(engine)
    where = engine.url.render_as_string(hide_password=True)
    console.current().emit(
        {"url": where, "revision": head(), "rows": counts},
        table(f"{where}, revision {head()}", ("table", "rows"), list(counts.items())),
    )


@app.command()
def export(
    target: Annotated[Path | None, typer.Argument(help="File to write.", show_default="catalogue.FORMAT")] = None,
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="What to write.")] = "csv",
) -> None:
    """Write a table of every photograph: source, licence, EXIF, size and measures."""
    from harvest.catalogue.export import export as write
    from harvest.catalogue.session import open_catalogue
    from lightmeter.project import find

    target = target or Path(f"catalogue.{form}")
    number, columns = write(open_catalogue(find()), target, form)
    console.current().emit(
        {"file": target.absolute(), "rows": number, "columns": columns},
        f"{number} photographs written to {target}.",
    )
