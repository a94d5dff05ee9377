"""Commands that predict with runs and compare them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from lightmeter.errors import UsageError
from lightmeter.executors.options import Address, ExecutorName, ExecutorOption, check_address
from lightmeter.models.commands.options import Device, Engine, ExifFile, RunFolder
from lightmeter.models.commands.tables import prediction_tables
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.models.runtime.engines import EngineName

app = CommandGroup()


class PackedOptions(NamedTuple):
    """Options of a model: run, device and engine."""

    run: Path
    device: str
    engine: "EngineName | None"


@app.command()
def predict(  # noqa: PLR0913, PLR0917 - a parameter an option
    run: RunFolder,
    files: Annotated[list[Path] | None, typer.Argument(help="Photographs.", show_default=False)] = None,
    exif: ExifFile = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="QUERY", help="Photographs of the catalogue that match a query ('' for all); needs --out."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file of the predictions for --where.")] = None,
    executor: ExecutorOption = "local",
    address: Address = None,
    device: Device = "auto",
    engine: Engine = None,
) -> None:
    """Predict the targets of a run for photographs; unreadable files are reported with the reason."""
    check_address(executor, address)
    if where is not None or out is not None:
        if where is None or out is None or files or exif:
            raise UsageError("Predict either files, or photographs of the catalogue with both --where and --out.")
        _predict_catalogue(PackedOptions(run, device, engine), where, out, executor, address)
        return
    if not files:
        raise UsageError("Name photographs, or select some of the catalogue with --where QUERY --out FILE.parquet.")
    if executor != "local":
        raise UsageError("--executor is for photographs of the catalogue: add --where QUERY --out FILE.parquet.")
    from lightmeter.models.evaluation.predict import predict_files
    from lightmeter.models.training.distributed import select_engine
    from lightmeter.models.training.runs import open_run

    name, selected = select_engine(engine, device)
    predictions = predict_files(open_run(run, selected, name), files, exif)
    console.get_console().emit(predictions, prediction_tables(predictions))
    if all("error" in entry for entry in predictions):
        raise typer.Exit(1)


def _predict_catalogue(
    model: PackedOptions, where: str, out: Path, executor: ExecutorName, address: str | None
) -> None:
    """Predict photographs of the catalogue into a Parquet file."""
    from lightmeter.executors.local import SerialExecutor
    from lightmeter.files import check_output, format_of
    from lightmeter.models.evaluation.catalogue_predictions import predict_catalogue
    from lightmeter.models.training.packed_model import PackedModel, open_cluster
    from lightmeter.project import find_project

    format_of(out, {".parquet": "parquet"})
    check_output(out)
    project = find_project()
    hashes, packed = project.select_photographs(where), PackedModel.of_run(*model)
    with (
        open_cluster(executor, address, model.device, packed.engine) as cluster,
        console.get_console().progress() as progress,
    ):
        task = progress.add_task("predicting", total=None)
        result = predict_catalogue(
            packed,
            project.store,
            hashes,
            out,
            cluster or SerialExecutor(),
            lambda number: progress.advance(task, number),
        )
    document = {"file": out.absolute(), "photographs": result.photographs, "rows": result.rows, "failed": result.failed}
    failures = (
        f"; {counted(len(result.failed), 'photograph')} could not be used (--json lists them)" if result.failed else ""
    )
    console.get_console().emit(document, f"Predicted {counted(result.photographs, 'photograph')}: {out}{failures}.")
    if not result.photographs:
        raise typer.Exit(1)


@app.command()
def export(
    run: RunFolder,
    file_format: Annotated[
        Literal["onnx", "openvino", "torch"],
        typer.Option("--format", help="onnx, openvino (a zip file of its files) or torch (a torch.export program)."),
    ] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Output file (default: the name of the run).")] = None,
) -> None:
    """Export a run into one file for other programs, with its preprocessing as metadata and a checked example."""
    from lightmeter.files import check_output
    from lightmeter.models.export import SUFFIXES, export_model
    from lightmeter.models.training.runs import open_run

    predictor = open_run(run)
    path = out or Path(f"{predictor.spec.name}{SUFFIXES[file_format]}")
    check_output(path)
    exported = export_model(predictor, file_format, path)
    console.get_console().emit(
        {"file": path, "format": file_format, "bytes": path.stat().st_size, "difference": exported.difference},
        f"{path}: probabilities of an example differ from the model's by at most {exported.difference:.1e}",
    )


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Runs of one data set; the first is the reference.", autocompletion=completion.runs),
    ],
    split: Annotated[Literal["test", "validation"], typer.Option(help="Split to compare on.")] = "test",
    out: Annotated[Path | None, typer.Option(help="HTML page to write, with plots.")] = None,
) -> None:
    """Compare runs on the same photographs: metrics, differences with intervals, training time and energy."""
    from lightmeter.bootstrap import few_groups_warning
    from lightmeter.errors import UsageError
    from lightmeter.files import check_output, format_of
    from lightmeter.models.evaluation.comparison import compare as compare_runs
    from lightmeter.models.evaluation.comparison import (
        compare_settings,
        comparison_table,
        load_run_scores,
        settings_table,
        write_page,
    )
    from lightmeter.models.training.runs import find_run, spec_of

    if len(runs) < 2:
        raise UsageError("Comparison needs at least two runs.")
    if out:
        format_of(out, {".html": "html"}, default="html")
        check_output(out)
    scored = [load_run_scores(find_run(run), spec_of(run), split) for run in runs]
    targets = compare_runs(scored)
    settings = compare_settings(scored)
    comparison = {"split": split, "reference": scored[0].spec.name, "targets": targets, "settings": settings}
    if out:
        write_page(out, comparison)
    tables = [
        console.table(
            f"{name}, {split}: {counted(target['photographs'], 'photograph')} in {counted(target['groups'], 'group')}",
            *comparison_table(target),
        )
        for name, target in targets.items()
    ]
    header, rows = settings_table(settings)
    differing = console.table("settings that differ", header, rows) if rows else "All settings are the same."
    warnings = filter(None, {few_groups_warning(target["groups"]) for target in targets.values()})
    console.get_console().emit(comparison, [*tables, *warnings, differing, *([f"Page: {out}"] if out else [])])
