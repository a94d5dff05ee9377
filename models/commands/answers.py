"""Answers of runs, and how they compare."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import Group
from models.commands.options import Device, ExifFile, RunFolder
from models.commands.show import shown_answers

app = Group()


@app.command()
def predict(
    run: RunFolder,
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    exif: ExifFile = None,
    device: Device = "auto",
) -> None:
    """Say how photographs were made; one that cannot be read is answered with the reason."""
    from models import devices
    from models.predict import predict_files
    from models.runs import open_run

    answers = predict_files(open_run(run, devices.chosen(device)), files, exif)
    console.current().emit(answers, shown_answers(answers))
    if all("error" in answer for answer in answers):
        raise typer.Exit(1)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Runs of one data set; the others are compared with the first.")],
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
) -> None:
    """Compare runs photograph by photograph, with intervals of the differences."""
    from lightmeter.errors import UsageError
    from models.compare import compare as compare_runs
    from models.compare import read_scored
    from models.report import difference_rows
    from models.runs import find_run, open_run

    if len(runs) < 2:
        raise UsageError("There is nothing to compare with one run; name two or more.")
    found = compare_runs([read_scored(find_run(run), open_run(run).spec, split) for run in runs])
    console.current().emit(
        {"split": split, "reference": open_run(runs[0]).spec.name, "targets": found},
        [
            console.table(
                f"{name}, {split}: {target['photographs']} photographs in {target['groups']} groups",
                ("figure", *target["runs"]),
                difference_rows(target),
            )
            for name, target in found.items()
        ],
    )
