"""Commands that list recipes, train and evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter.executors.options import Address, ExecutorOption
from lightmeter.models.commands.options import (
    DataFolders,
    Device,
    Engine,
    RecipeName,
    RunFolder,
    Seed,
    Settings,
    TrainingData,
)
from lightmeter.models.commands.tables import metrics_tables
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup

app = CommandGroup()


@app.command()
def recipes() -> None:
    """List the recipes."""
    from lightmeter.models.training.recipe import list_recipes, read_recipe

    items = [read_recipe(name) for name in list_recipes()]
    console.get_console().emit(
        [recipe.model_dump(mode="json") for recipe in items],
        console.table("", ("recipe", "description", "source"), [(r.name, r.summary, r.source) for r in items]),
    )


@app.command()
def train(  # noqa: PLR0913, PLR0917 - a parameter an option
    recipe: RecipeName,
    data: DataFolders,
    out: Annotated[Path | None, typer.Option(help="Output folder (default: runs/NAME).")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run and of the served model.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    engine: Engine = None,
    set_: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint.")] = False,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Log each epoch to tensorboard, mlflow or wandb (repeatable; default: models.loggers).",
            autocompletion=completion.choices("tensorboard", "mlflow", "wandb"),
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete the checkpoint of an interrupted training and start again.")
    ] = False,
    executor: ExecutorOption = "local",
    address: Address = None,
) -> None:
    """Train a recipe on one or more data sets and evaluate it on validation; the test split is not read."""
    from lightmeter.models import api
    from lightmeter.models.training.distributed import is_main_process
    from lightmeter.models.training.recipe import read_recipe

    run = api.train(
        read_recipe(recipe, set_ or []),
        data,
        out,
        name=name,
        device=device,
        engine=engine,
        seed=seed,
        resume=resume,
        restart=restart,
        loggers=logger,
        executor=executor,
        address=address,
    )
    if not is_main_process():
        return
    console.get_console().emit(
        {"run": run.folder, "metrics": run.metrics},
        [
            *metrics_tables(run.metrics, "validation"),
            f"Run folder: {run.folder}",
        ],
    )
    console.get_console().next_step("models", "evaluate", run.folder.name if out is None else run.folder)


@app.command()
def evaluate(
    run: RunFolder,
    data: TrainingData = None,
    device: Device = "auto",
    engine: Engine = None,
    executor: ExecutorOption = "local",
    address: Address = None,
) -> None:
    """Evaluate a run on the test split of its data set (each evaluation is recorded)."""
    from lightmeter.models import api
    from lightmeter.models.training.runs import find_run

    metrics = api.evaluate(run, data, device, engine, executor, address)
    folder = find_run(run)
    console.get_console().emit(
        {"run": folder, "metrics": metrics},
        [*metrics_tables(metrics, "test"), f"Report: {folder / 'report.html'}"],
    )
    console.get_console().next_step("serve", "archive", run)
