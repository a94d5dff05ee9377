"""Options of several commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lightmeter.terminal import completion

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import Dataset
    from lightmeter.models.runtime.predictor import Predictor

RunFolder = Annotated[
    Path,
    typer.Argument(
        help="Run folder, or the name of a run of this project, or 'default'.", autocompletion=completion.runs
    ),
]
TrainingData = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="Data set of the training; repeat it for several (default: the project's data sets of these names).",
        autocompletion=completion.datasets,
    ),
]
TargetName = Annotated[str | None, typer.Option("--target", help="Target of the model (default: the first).")]
Engine = Annotated[
    Literal["torch", "openvino", "onnxruntime"] | None,  # `EngineName`, whose import takes long
    typer.Option("--engine", help="What runs the network: torch, openvino or onnxruntime (default: models.engine)."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:NUMBER.")]
RecipeName = Annotated[
    str, typer.Argument(help="Name of a recipe, or path of a .toml file.", autocompletion=completion.recipes)
]
DataFolders = Annotated[
    list[Path],
    typer.Option(
        "--data",
        help="Data set folder, or the name of a data set of this project; repeat it for several with the same targets.",
        autocompletion=completion.datasets,
    ),
]
DataFolder = Annotated[
    Path,
    typer.Option(
        help="Data set folder, or the name of a data set of this project.", autocompletion=completion.datasets
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe (repeatable).")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed.")]
ExifFile = Annotated[
    Path | None,
    typer.Option("--exif", help="JSON file of EXIF tags for models that use them, as from 'exiftool -n -json'."),
]
SplitName = Annotated[Literal["validation", "test"], typer.Option(help="Split; test must have been evaluated before.")]


def open_for_analysis(run: Path, data: list[Path] | None, split: SplitName) -> "tuple[Predictor, Dataset, SplitName]":
    """Open a run and its data set, and check that the split may be analysed.

    The split must not have been fitted to, and test must have been evaluated before.

    Raises:
        UsageError: The split must not be used.
    """
    from lightmeter.errors import UsageError
    from lightmeter.models.training.runs import find_run, open_run, read_metrics, training_dataset

    metrics = read_metrics(find_run(run))
    if split == "validation" and "refitted" in metrics["training"]:
        raise UsageError(
            "The heads of this model were fitted to validation as well; run 'lightmeter models evaluate' and use "
            "--split test."
        )
    if split not in metrics:
        raise UsageError("The test split has not been evaluated; run 'lightmeter models evaluate' first.")
    predictor = open_run(run)
    return predictor, training_dataset(predictor, data), split


def open_dataset(folder: Path) -> "Dataset":
    """Open a data set by its folder or its name in the project."""
    from lightmeter.labels.datasets import dataset

    return dataset.open_dataset(folder)
