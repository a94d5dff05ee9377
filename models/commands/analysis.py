"""Looking into a run."""

from pathlib import Path
from typing import Annotated

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.models.commands.options import RunFolder, SplitName, TargetName, TrainedOn, open_dataset, seen_split

app = CommandGroup()


@app.command()
def explain(
    run: RunFolder,
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    target: TargetName = None,
    kind: Annotated[
        str,
        typer.Option("--map", help="gradient, activations, or with the extra captum: integrated, smooth."),
    ] = "gradient",
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("explained"),
) -> None:
    """Show which patches and pixels counted for an answer."""
    from lightmeter.models.analysis.studies import explain_files
    from lightmeter.models.training.runs import open_run

    told = explain_files(open_run(run), files, target, kind, out)
    rows = [(one["file"], one["target"], one["class"], one["picture"]) for one in told]
    console.get_console().emit(told, console.table("", ("photograph", "target", "answer", "picture"), rows))


@app.command()
def attack(
    run: RunFolder,
    data: TrainedOn = None,
    target: TargetName = None,
    levels: Annotated[str, typer.Option(help="Greatest changes of a pixel, of 255.")] = "0,0.25,0.5,1,2,4,8",
    split: SplitName = "validation",
    limit: Annotated[int, typer.Option(min=1, help="Photographs to take.")] = 100,
) -> None:
    """Mislead a model by small changes of pixels (FGSM and PGD), and show how its accuracy falls."""
    from lightmeter.models.analysis.studies import attack_split, write_attack
    from lightmeter.models.training.runs import find_run, open_run

    predictor = open_run(run)
    dataset = open_dataset(data or Path(str(predictor.spec.data.get("name", ""))))
    found = attack_split(predictor, dataset, seen_split(run, split), target, _levels(levels), limit)
    picture = write_attack(find_run(run), found)
    rows = list(zip(found["levels"], found["fgsm"], found["pgd"], strict=True))
    console.get_console().emit(
        {**found, "picture": picture},
        [console.table("accuracy under attack", ("levels of 255", "FGSM", "PGD"), rows), f"Plot: {picture}"],
    )


@app.command()
def importance(
    run: RunFolder,
    data: TrainedOn = None,
    target: TargetName = None,
    split: SplitName = "validation",
    repeats: Annotated[int, typer.Option(min=1, help="How often each is shuffled.")] = 10,
) -> None:
    """Show how much worse a model gets when one EXIF tag, or one measure, is shuffled among the photographs."""
    from lightmeter.bootstrap import format_estimate
    from lightmeter.models.analysis.permutation_importance import importance_of, write_importance
    from lightmeter.models.training.runs import find_run, open_run

    predictor = open_run(run)
    dataset = open_dataset(data or Path(str(predictor.spec.data.get("name", ""))))
    found = importance_of(predictor, dataset, seen_split(run, split), target, repeats)
    picture = write_importance(find_run(run), found)
    rows = [(name, format_estimate(drop, percent=False)) for name, drop in found["drops"].items()]
    title = f"{found['target']}, {split}: what macro F1 loses of {format_estimate(found['macro_f1'], percent=False)}"
    console.get_console().emit(
        {**found, "picture": picture}, [console.table(title, ("shuffled", "loss"), rows), f"Plot: {picture}"]
    )


@app.command()
def series(
    run: RunFolder,
    files: Annotated[list[Path] | None, typer.Argument(help="Photographs of one scene, one setting varied.")] = None,
    data: Annotated[Path | None, typer.Option(help="Instead of files: a data set of series.")] = None,
    target: TargetName = None,
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("series.png"),
) -> None:
    """Predict controlled series, and show the answers along the true setting."""
    from lightmeter.bootstrap import format_estimate
    from lightmeter.errors import UsageError
    from lightmeter.models.analysis import series as studied
    from lightmeter.models.analysis.explain import target_of
    from lightmeter.models.training.runs import open_run

    if bool(files) == bool(data):
        raise UsageError("A series is given as files, or as a data set with --data.")
    predictor = open_run(run)
    chosen = studied.check_ordinal(target_of(predictor, target))
    if data:
        found = studied.of_dataset(predictor, open_dataset(data), chosen)
    else:
        found = studied.of_files(predictor, files or [], chosen)
    studied.write_series(out, found, chosen)
    near, beside = (format_estimate(found[f"within_one_{what}"]) for what in ("stop", "class"))
    error = format_estimate(found["error_stops"], percent=False)
    figures = f"within one stop {near}, at most one class off {beside}, mean error {error} stops"
    rows = [(one["file"], one["truth"], one["stops"], one["class"]) for one in found["series"]]
    console.get_console().emit(
        {**found, "picture": out},
        [
            *([] if data else [console.table("", ("photograph", "true stops", "answered stops", "class"), rows)]),
            f"{found['photographs']} photographs: {figures}\nPlot: {out}",
        ],
    )


@app.command()
def similar(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(help="A photograph.")],
    data: Annotated[Path, typer.Option(help="Data set to search.")],
    count: Annotated[int, typer.Option(min=1, help="How many to show.")] = 10,
) -> None:
    """Find the photographs of a data set that a model sees most alike."""
    from lightmeter.models.analysis.studies import similar as find_similar
    from lightmeter.models.training.runs import open_run

    found = find_similar(open_run(run), file, open_dataset(data), count)
    rows = [(one["likeness"], one["split"], one["file"]) for one in found]
    console.get_console().emit(found, console.table("", ("likeness", "split", "photograph"), rows))


def _levels(text: str) -> list[float]:
    from lightmeter.errors import UsageError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--levels wants numbers with commas between, not '{text}'.") from error
