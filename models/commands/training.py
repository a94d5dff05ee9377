"""Recipes, and what makes and scores a run."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.models.commands.options import (
    DataFolder,
    Device,
    RecipeName,
    RunFolder,
    Seed,
    Settings,
    TrainedOn,
    open_dataset,
)
from lightmeter.models.commands.tables import metrics_tables

app = CommandGroup()


@app.command()
def recipes() -> None:
    """List the recipes."""
    from lightmeter.models.training.recipe import names, read_recipe

    found = [read_recipe(name) for name in names()]
    console.get_console().emit(
        [recipe.model_dump(mode="json") for recipe in found],
        console.table("", ("recipe", "what it is", "source"), [(r.name, r.summary, r.source) for r in found]),
    )


@app.command()
def train(  # noqa: PLR0913, PLR0917 - a parameter an option
    recipe: RecipeName,
    data: DataFolder,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; else runs/NAME of the project.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run and of the served model.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    set_: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of an interrupted training.")
    ] = False,
) -> None:
    """Train a recipe on a data set and score it on validation; the test split is left alone."""
    from lightmeter.models.training import devices, distributed
    from lightmeter.models.training.recipe import read_recipe
    from lightmeter.models.training.runs import destination
    from lightmeter.models.training.train import train as train_recipe

    chosen = read_recipe(recipe, set_ or [])
    dataset = open_dataset(data)
    folder = destination(out, name, f"{chosen.name}-{dataset.spec.name}")
    run = train_recipe(chosen, dataset, folder, device=devices.select_device(device), seed=seed, resume=resume)
    if not distributed.is_main_process():
        return
    console.get_console().emit(
        {"run": run.folder, "metrics": run.metrics},
        [
            *metrics_tables(run.metrics, "validation"),
            f"Run in {run.folder}\nNext: lightmeter models evaluate {run.folder.name}",
        ],
    )


@app.command()
def evaluate(
    run: RunFolder,
    data: TrainedOn = None,
    device: Device = "auto",
) -> None:
    """Score a run on the test split of its data set, once; how often that was done stays in the run."""
    from lightmeter.models.evaluation.evaluate import evaluate_run
    from lightmeter.models.training import devices
    from lightmeter.models.training.runs import find_run, open_run

    predictor = open_run(run, devices.select_device(device))
    dataset = open_dataset(data or Path(str(predictor.spec.data.get("name", ""))))
    folder = find_run(run)
    metrics = evaluate_run(folder, predictor, dataset)
    console.get_console().emit(
        {"run": folder, "metrics": metrics},
        [*metrics_tables(metrics, "test"), f"Report: {folder / 'report.html'}"],
    )
