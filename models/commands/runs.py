"""Commands that list and remove runs."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup, Yes, confirm_removal

app = CommandGroup()


@app.command(name="list")
def list_() -> None:
    """List the runs of the project, also those that are being trained, were interrupted or are damaged."""
    from lightmeter.models.training.inventory import list_runs

    runs = list_runs(find_project())
    document = [
        {
            "name": run.name,
            "path": run.folder,
            "state": run.state,
            "created_at": run.created_at,
            "recipe": run.spec.recipe if run.spec else None,
            "targets": [target.name for target in run.spec.targets] if run.spec else [],
            "datasets": list(run.spec.datasets) if run.spec else [],
            "bytes": run.size,
        }
        for run in runs
    ]
    rows = [
        (
            run.name,
            run.state,
            run.spec.recipe if run.spec else None,
            ", ".join(target.name for target in run.spec.targets) if run.spec else None,
            ", ".join(run.spec.datasets) if run.spec else None,
            f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
            f"{run.size / 1e6:.1f} MB",
        )
        for run in runs
    ]
    table = console.table("", ("run", "state", "recipe", "targets", "data set", "created", "size"), rows)
    console.get_console().emit(document, table if rows else "No runs; train one with 'lightmeter models train'.")


@app.command()
def remove(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Name of a run.", autocompletion=completion.runs)],
    yes: Yes = False,
) -> None:
    """Remove a run of the project, also an interrupted one; its data set and archives are kept."""
    from lightmeter.models.training.inventory import list_runs, remove_run

    project = find_project()
    runs = list_runs(project)
    selected = [entry for entry in runs if entry.name == run.name]
    if not selected or (len(run.parts) > 1 and run.resolve().parent != project.runs.resolve()):
        raise UsageError(unknown_name_message("run", str(run), [entry.name for entry in runs]))
    confirm_removal(f"the run {run.name} ({', '.join(entry.state for entry in selected)})", yes=yes)
    for entry in selected:
        remove_run(entry)
    console.get_console().emit({"removed": run.name}, f"Removed the run {run.name}.")
