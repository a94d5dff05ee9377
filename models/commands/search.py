"""The command that searches hyperparameters."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter.models.commands.options import DataFolders, Device, Engine, RecipeName, Seed, Settings
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup

app = CommandGroup()


@app.command()
def search(  # noqa: PLR0913, PLR0917 - a parameter an option
    recipe: RecipeName,
    data: DataFolders,
    search: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUES", help="Setting to search: KEY=LOW..HIGH or KEY=A,B,C (repeatable)."),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Total number of trials.")] = 20,
    metric: Annotated[str, typer.Option(help="Validation metric to optimise.")] = "macro_f1",
    out: Annotated[Path | None, typer.Option(help="Output folder (default: searches/RECIPE-DATASET).")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    engine: Engine = None,
    set_: Settings = None,
) -> None:
    """Search for good settings of a recipe on validation; repeat the command to resume an interrupted search."""
    from lightmeter.errors import require_extra
    from lightmeter.labels.datasets.union import open_datasets
    from lightmeter.models.training.distributed import select_engine
    from lightmeter.models.training.recipe import read_recipe, training_engine
    from lightmeter.project import find_project

    dataset = open_datasets(data)
    folder = out or find_project().root / "searches" / "-".join([Path(recipe).stem, *(item.name for item in data)])
    with require_extra("search", "optuna"):
        from lightmeter.models.training.search import Search
        from lightmeter.models.training.search import search as run_search
    trained_with = training_engine(read_recipe(recipe, set_ or []), engine)
    name, selected = select_engine(trained_with, device)
    task = Search(recipe, set_ or [], search, metric, seed, selected, name)
    result = run_search(task, dataset, folder, trials)
    keys = list(result["trials"][0]["settings"])
    rows = [
        (trial["number"], *(trial["settings"].get(key) for key in keys), trial["value"]) for trial in result["trials"]
    ]
    console.get_console().emit(
        {**result, "folder": folder},
        [
            console.table(f"{metric} on validation", ("trial", *keys, metric), rows),
            f"Best: {result['recipe']}" if result["recipe"] else "No trial succeeded.",
        ],
    )
    if result["recipe"]:
        console.get_console().next_step(
            "models", "train", result["recipe"], *(part for folder in data for part in ("--data", folder))
        )
