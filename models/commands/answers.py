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
    out: Annotated[Path | None, typer.Option(help="Page to write, with plots.")] = None,
) -> None:
    """Compare runs photograph by photograph: figures with intervals of differences, time and energy of training."""
    from lightmeter.errors import UsageError
    from models.compare import compare as compare_runs
    from models.compare import read_scored
    from models.compared import comparison_table, write_page
    from models.runs import find_run, spec_of

    if len(runs) < 2:
        raise UsageError("There is nothing to compare with one run; name two or more.")
    scored = [read_scored(find_run(run), spec_of(run), split) for run in runs]
    found = compare_runs(scored)
    document = {"split": split, "reference": scored[0].name, "targets": found}
    if out:
        write_page(out, document)
    console.current().emit(
        document,
        [
            console.table(
                f"{name}, {split}: {target['photographs']} photographs in {target['groups']} groups",
                *comparison_table(target),
            )
            for name, target in found.items()
        ]
        + ([f"Page: {out}"] if out else []),
    )
