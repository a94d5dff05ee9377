"""Search over the settings of a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import Group
from models.commands.options import DataFolder, Device, RecipeName, Seed, Settings, open_dataset

app = Group()


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
    from lightmeter import project
    from models import devices
    from models.extras import needed

    dataset = open_dataset(data)
    folder = out or project.find().root / "searches" / f"{Path(recipe).stem}-{dataset.spec.name}"
    with needed("search", "optuna"):
        from models.search import Search
        from models.search import search as search_settings
    task = Search(recipe, set_ or [], vary, by, seed, devices.chosen(device))
    found = search_settings(task, dataset, folder, trials)
    keys = list(found["trials"][0]["settings"])
    rows = [(one["number"], *(one["settings"].get(key) for key in keys), one["value"]) for one in found["trials"]]
    console.current().emit(
        {**found, "folder": folder},
        [
            console.table(f"{by} on validation", ("trial", *keys, by), rows),
            f"Best: {found['recipe']}\nNext: lightmeter models train {found['recipe']} --data {data}"
            if found["recipe"]
            else "No trial succeeded.",
        ],
    )
