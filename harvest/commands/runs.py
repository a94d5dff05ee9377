"""``lightmeter harvest``: list and remove runs."""

from typing import Annotated

import typer

from lightmeter.project import find_project
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup, Yes, confirm_removal
from lightmeter.text.numbers import counted

app = CommandGroup()


@app.command(name="list")
def list_() -> None:
    """List harvest runs; 'harvest status' counts their photographs by state and reason."""
    from lightmeter.harvest.catalogue.changes.runs import list_runs
    from lightmeter.harvest.catalogue.database.session import open_engine

    runs = list_runs(open_engine(find_project()))
    rows = [
        (
            run["id"],
            run["source"],
            f"{run['state']}, active" if run["active"] else run["state"],
            f"{run['started_at'].astimezone():%Y-%m-%d %H:%M}",
            run["found"],
            run["photographs"],
        )
        for run in runs
    ]
    table = console.table("", ("run", "source", "state", "started", "found", "photographs"), rows)
    console.get_console().emit(runs, table if rows else "No runs; start one with 'lightmeter harvest run'.")


@app.command()
def remove(run: Annotated[int, typer.Argument(metavar="RUN", help="Number of the run.")], yes: Yes = False) -> None:
    """Remove a run that has left no photographs in the catalogue, with its record of what failed."""
    from lightmeter.harvest.catalogue.changes.runs import check_removable, remove_run
    from lightmeter.harvest.catalogue.database.session import open_engine

    engine = open_engine(find_project())
    count = check_removable(engine, run)
    confirm_removal(f"run {run} and its record of {counted(count, 'photograph')} not downloaded", yes=yes)
    remove_run(engine, run)
    console.get_console().emit({"removed": run}, f"Removed run {run}.")
