"""Answers of runs, and how they compare."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.models.commands.options import Device, ExifFile, RunFolder
from lightmeter.models.commands.tables import shown_answers

app = CommandGroup()


@app.command()
def predict(
    run: RunFolder,
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    exif: ExifFile = None,
    device: Device = "auto",
) -> None:
    """Say how photographs were made; one that cannot be read is answered with the reason."""
    from lightmeter.models.evaluation.predict import predict_files
    from lightmeter.models.training import devices
    from lightmeter.models.training.runs import open_run

    answers = predict_files(open_run(run, devices.select_device(device)), files, exif)
    console.get_console().emit(answers, shown_answers(answers))
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
    from lightmeter.models.evaluation.comparison import compare as compare_runs
    from lightmeter.models.evaluation.comparison import load_run_scores
    from lightmeter.models.evaluation.comparison_page import comparison_table, write_page
    from lightmeter.models.training.runs import find_run, spec_of

    if len(runs) < 2:
        raise UsageError("There is nothing to compare with one run; name two or more.")
    scored = [load_run_scores(find_run(run), spec_of(run), split) for run in runs]
    found = compare_runs(scored)
    document = {"split": split, "reference": scored[0].name, "targets": found}
    if out:
        write_page(out, document)
    console.get_console().emit(
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
