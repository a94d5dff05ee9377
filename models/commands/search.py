"""Search over the settings of a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.models.commands.options import DataFolder, Device, RecipeName, Seed, Settings, open_dataset

app = CommandGroup()


@app.command()
def search(  # noqa: PLR0913, PLR0917 - a parameter an option
    recipe: RecipeName,
    data: DataFolder,
    vary: Annotated[list[str], typer.Option(help="What to try: key=low..high, or key=a,b,c.")],
    trials: Annotated[int, typer.Option(min=1, help="How many trials there shall be in all.")] = 20,
    by: Annotated[str, typer.Option(help="Figure of validation to compare by.")] = "macro_f1",
    out: Annotated[Path | None, typer.Option(help="Folder of the search; else searches/NAME of the project.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    set_: Settings = None,
) -> None:
    """Search for good settings of a recipe on validation; the same command goes on where it was stopped."""
    from lightmeter.models.training import devices
    from lightmeter.models.training.extras import require
    from lightmeter.project import find_project

    dataset = open_dataset(data)
    folder = out or find_project().root / "searches" / f"{Path(recipe).stem}-{dataset.spec.name}"
    with require("search", "optuna"):
        from lightmeter.models.training.search.search import Search
        from lightmeter.models.training.search.search import search as search_settings
    task = Search(recipe, set_ or [], vary, by, seed, devices.select_device(device))
    found = search_settings(task, dataset, folder, trials)
    keys = list(found["trials"][0]["settings"])
    rows = [(one["number"], *(one["settings"].get(key) for key in keys), one["value"]) for one in found["trials"]]
    console.get_console().emit(
        {**found, "folder": folder},
        [
            console.table(f"{by} on validation", ("trial", *keys, by), rows),
            f"Best: {found['recipe']}\nNext: lightmeter models train {found['recipe']} --data {data}"
            if found["recipe"]
            else "No trial succeeded.",
        ],
    )
