"""Options that several commands take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import Dataset, Split

RunFolder = Annotated[Path, typer.Argument(help="A run folder, or the name of a run of this project.")]
TrainedOn = Annotated[
    Path | None, typer.Option("--data", help="The data set it was trained on; else the project's one of that name.")
]
TargetName = Annotated[str | None, typer.Option("--target", help="One of the model's targets; else its first.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:NUMBER.")]
RecipeName = Annotated[str, typer.Argument(help="Name of a recipe, or a recipe's .toml file.")]
DataFolder = Annotated[Path, typer.Option(help="Data set folder, or the name of one of this project.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value: change a setting of the recipe.")]
Seed = Annotated[int, typer.Option(help="Other seed, other random draws.")]
ExifFile = Annotated[
    Path | None,
    typer.Option("--exif", help="JSON with EXIF tags, for models that read them; as 'exiftool -n -json' writes it."),
]
SplitName = Annotated[str, typer.Option(help="validation, or test once that was evaluated.")]


def seen_split(run: Path, split: str) -> "Split":
    """Return the split that a study may look at: one that is not fitted to, and test only after ``models evaluate``."""
    from lightmeter.errors import UsageError
    from lightmeter.models.training.runs import find_run, read_metrics

    metrics = read_metrics(find_run(run))
    if split == "validation":
        if "refitted" in metrics["training"]:
            raise UsageError(
                "The heads of this model were fitted to validation, too; look at --split test, once "
                "'lightmeter models evaluate' has scored it."
            )
        return "validation"
    if split != "test":
        raise UsageError(f"There is no split '{split}' to look at; there are validation and test.")
    if "test" not in metrics:
        raise UsageError("The test split is not looked at before 'lightmeter models evaluate' has scored it.")
    return "test"


def open_dataset(folder: Path) -> "Dataset":
    """Open a data set by its folder or its name in the project."""
    from lightmeter.labels.datasets import dataset

    return dataset.open_dataset(folder)
