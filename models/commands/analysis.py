"""Commands that analyse a trained run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.files import check_folder, check_output, format_of, write_atomic, write_output
from lightmeter.models.commands.options import (
    Engine,
    RunFolder,
    SplitName,
    TargetName,
    TrainingData,
    open_dataset,
    open_for_analysis,
)
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

app = CommandGroup()

_MAX_LEVEL = 255


@app.command()
def explain(
    run: RunFolder,
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    target: TargetName = None,
    method: Annotated[
        str,
        typer.Option(
            help="Saliency method: gradient, activations, or with the extra captum integrated-gradients, smoothgrad."
        ),
    ] = "gradient",
    out: Annotated[Path, typer.Option(help="Output folder of the plots.")] = Path("explained"),
) -> None:
    """Show which patches and pixels influence a prediction."""
    from lightmeter.models.analysis.explain import explain_files
    from lightmeter.models.training.runs import open_run

    check_folder(out)
    results = explain_files(open_run(run), files, target, method, out)
    columns = ("file", "target", "class", "plot")
    rows = [
        (result["file"], "–", result["error"]["reason"], "–")
        if "error" in result
        else tuple(result[column] for column in columns)
        for result in results
    ]
    notes = [
        f"{result['file']}: {result['steps']} steps, "
        f"attributions complete within {100 * result['completeness_error']:.1f} %."
        for result in results
        if "steps" in result
    ]
    table = console.table("", ("photograph", "target", "prediction", "plot"), rows)
    console.get_console().emit(results, [table, *notes])
    if all("error" in result for result in results):
        raise typer.Exit(1)


@app.command()
def attack(
    run: RunFolder,
    data: TrainingData = None,
    target: TargetName = None,
    epsilons: Annotated[str, typer.Option(help="Perturbation sizes (0-255), separated by commas.")] = (
        "0,0.25,0.5,1,2,4,8"
    ),
    split: SplitName = "validation",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of photographs.")] = 100,
) -> None:
    """Measure adversarial robustness: accuracy under FGSM and PGD attacks."""
    from lightmeter.models.analysis.attacks import attack_split
    from lightmeter.models.evaluation.plots import attack_plot
    from lightmeter.models.training.runs import find_run

    numbers, plots = _numbers(epsilons), find_run(run) / "plots"
    check_folder(plots)
    result = attack_split(*open_for_analysis(run, data, split), target, numbers, limit)
    plot = plots / f"attack-{split}-{result['target']}.png"
    write_atomic(plot, attack_plot(result).png())
    rows = list(zip(result["epsilons"], result["fgsm"], result["pgd"], strict=True))
    table = console.table("accuracy under attack", ("epsilon (of 255)", "FGSM", "PGD"), rows)
    console.get_console().emit({**result, "plot": plot}, [table, f"Plot: {plot}"])


@app.command()
def importance(
    run: RunFolder,
    data: TrainingData = None,
    target: TargetName = None,
    split: SplitName = "validation",
    repeats: Annotated[int, typer.Option(min=1, help="Number of shuffles per feature.")] = 10,
) -> None:
    """Measure permutation importance of EXIF tags and image statistics."""
    from lightmeter.bootstrap import format_estimate
    from lightmeter.models.analysis.permutation_importance import permutation_importance
    from lightmeter.models.evaluation.plots import importance_plot
    from lightmeter.models.training.runs import find_run

    plots = find_run(run) / "plots"
    check_folder(plots)
    result = permutation_importance(*open_for_analysis(run, data, split), target, repeats)
    plot = plots / f"importance-{split}-{result['target']}.png"
    write_atomic(plot, importance_plot(result).png())
    rows = [(name, format_estimate(value, percent=False)) for name, value in result["importances"].items()]
    title = f"{result['target']}, {split}: macro F1 {format_estimate(result['macro_f1'], percent=False)}"
    table = console.table(title, ("feature", "decrease of macro F1"), rows)
    console.get_console().emit({**result, "plot": plot}, [table, f"Plot: {plot}"])


@app.command()
def series(
    run: RunFolder,
    files: Annotated[list[Path] | None, typer.Argument(help="Photographs; those of one folder are one scene.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data set of series, instead of files.")] = None,
    published: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="RealBokeh_3MP or SNAP, instead of files.")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Share of pairs of a scene in the right order.")] = False,
    target: TargetName = None,
    out: Annotated[Path, typer.Option(help="Output file of the plot.")] = Path("series.png"),
) -> None:
    """Predict controlled series and plot the predictions against the true setting."""
    from lightmeter.errors import UsageError
    from lightmeter.models.analysis.series import (
        ordinal_target,
        predict_published_series,
        predict_series_dataset,
        predict_series_files,
    )
    from lightmeter.models.evaluation.plots import stops_plot
    from lightmeter.models.training.runs import open_run

    if sum(map(bool, (files, data, published))) != 1:
        raise UsageError("Give a series either as files or as a data set (--data) or as a folder (--published).")
    if pairs and data:
        raise UsageError("--pairs compares photographs of one scene, which data sets do not name; give files.")
    format_of(out, {".png": "png"}, default="png")
    check_output(out)
    predictor = open_run(run)
    ordinal = ordinal_target(predictor, target)
    if data:
        result = predict_series_dataset(predictor, open_dataset(data), ordinal)
    elif published:
        result = predict_published_series(predictor, published, ordinal)
    else:
        result = predict_series_files(predictor, files or [], ordinal)
    write_output(out, stops_plot(result["series"], ordinal.unit, f"{ordinal.name} along a series").png())
    if not pairs:
        del result["pairs"]
    shown = list(_series_summary(result, with_rows=bool(files)))
    console.get_console().emit({**result, "plot": out}, [*shown, f"Plot: {out}"])


def _series_summary(result: "Mapping[str, Any]", *, with_rows: bool) -> "Iterator[RenderableType]":
    """Yield tables and sentences on a series."""
    from lightmeter.bootstrap import few_groups_warning, format_estimate

    if with_rows:
        rows = [tuple(row.values()) for row in result["series"]]
        yield console.table("", ("photograph", "true stops", "predicted stops", "class"), rows)
    if unusable := [(entry["file"], entry["error"]["reason"]) for entry in result["errors"]]:
        yield console.table("not used", ("photograph", "reason"), unusable)
    if result.get("missing"):
        yield f"Not in the folder: {counted(result['missing'], 'photograph')} of the list."
    yield (
        f"{counted(result['photographs'], 'photograph')}: mean absolute error "
        f"{format_estimate(result['mae_stops'], percent=False)} stops, within ±1 stop "
        f"{format_estimate(result['within_one_stop'])}, within ±1 class {format_estimate(result['within_one_class'])}"
    )
    if pairs := result.get("pairs"):
        yield (
            f"{counted(pairs['pairs'], 'pair')} in {counted(pairs['scenes'], 'scene')}: "
            f"{format_estimate(pairs['in_order'])} in the right order; guessing: {100 * pairs['baseline']:.0f} %"
        )
        if warning := few_groups_warning(pairs["scenes"]):
            yield warning


@app.command()
def similar(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(help="Photograph to compare with.")],
    data: Annotated[Path, typer.Option(help="Data set to search.")],
    count: Annotated[int, typer.Option(min=1, help="Number of photographs to show.")] = 10,
    engine: Engine = None,
) -> None:
    """Find the most similar photographs in a data set."""
    from lightmeter.models.analysis.embeddings import similar_photographs
    from lightmeter.models.training.distributed import select_engine
    from lightmeter.models.training.runs import open_run

    name, device = select_engine(engine, "cpu")
    results = similar_photographs(open_run(run, device, name, "embedding"), file, open_dataset(data), count)
    rows = [(result["similarity"], result["split"], result["file"]) for result in results]
    console.get_console().emit(results, console.table("", ("similarity", "split", "photograph"), rows))


def _numbers(text: str) -> list[float]:
    from lightmeter.errors import UsageError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number <= _MAX_LEVEL for number in numbers):
        raise UsageError(f"Invalid --epsilons '{text}': use numbers from 0 to 255 separated by commas, such as 0,1,2.")
    return numbers
