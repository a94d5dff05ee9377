"""``lightmeter store``: check the photo store."""

from typing import Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import command_group
from lightmeter.console import table
from lightmeter.errors import LightmeterError
from lightmeter.harvest.commands.options import progress_bar
from lightmeter.project import find_project

app = command_group("Check the photo store.")

_MAX_SHOWN = 50


@app.callback()
def store() -> None:
    """Keep ``check`` a subcommand although it is the only one."""


@app.command()
def check(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Delete damaged files and orphans; 'harvest retry' downloads lost ones again."),
    ] = False,
) -> None:
    """Compare every stored file with its hash and with the catalogue; an interrupted check continues."""
    from dataclasses import asdict

    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.store_check import check_store, count

    project = find_project()
    engine = open_engine(project)
    with progress_bar("checking", count(engine)) as on_progress:
        result = check_store(engine, project, repair=repair, on_progress=on_progress)
    document = asdict(result)
    del document["last"]
    console.get_console().emit(document, [*_tables(document), _summary(document)])
    if not result.sound and not repair:
        raise LightmeterError("The photo store is not sound; repair it with 'lightmeter store check --repair'.")


def _summary(document: dict[str, Any]) -> str:
    counts = {name: len(document[name]) for name in ("damaged", "missing", "orphans")}
    summary = f"Checked {document['checked']} files: " + ", ".join(f"{n} {name}" for name, n in counts.items()) + "."
    if document["repaired"] and (counts["damaged"] or counts["missing"]):
        summary += " Download the lost photographs again with 'lightmeter harvest retry --reason store'."
    return summary


def _tables(document: dict[str, Any]) -> list[Any]:
    rows = [
        (fault, row["sha256"][:12], sighting["source"], sighting["source_id"])
        for fault in ("damaged", "missing")
        for row in document[fault]
        for sighting in row["sightings"] or [{"source": None, "source_id": None}]
    ]
    rows += [("orphan", name, None, None) for name in document["orphans"]]
    return [table("", ("fault", "file", "source", "photograph"), rows[:_MAX_SHOWN])] if rows else []
