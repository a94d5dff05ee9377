"""The commands under ``lightmeter models``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import group

if TYPE_CHECKING:
    from labels.dataset import DataSet

app = group("Learn to tell how a photograph was made.")

_RUN = typer.Argument(help="A run folder, or the name of a run of this project.")
_TRAINED_ON = typer.Option(help="The data set it was trained on; else the project's one of that name.")
_TARGET = typer.Option(help="One of the model's targets; else its first.")
_DEVICE = typer.Option(help="auto, cpu, cuda or cuda:NUMBER.")


@app.command()
def recipes() -> None:
    """List the recipes."""
    from models.recipe import names, read_recipe

    found = [read_recipe(name) for name in names()]
    console.current().emit(
        [recipe.model_dump(mode="json") for recipe in found],
        console.table("", ("recipe", "what it is", "source"), [(r.name, r.summary, r.source) for r in found]),
    )


@app.command()
def train(  # noqa: PLR0913, PLR0917 - a parameter an option
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a recipe's .toml file.")],
    data: Annotated[Path, typer.Option(help="Data set folder, or the name of one of this project.")],
    out: Annotated[Path | None, typer.Option(help="Run folder to make; else runs/NAME of the project.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run and of the served model.")] = None,
    seed: Annotated[int, typer.Option(help="Other seed, other random draws.")] = 0,
    device: Annotated[str, _DEVICE] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value: change a setting of the recipe.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of an interrupted training.")
    ] = False,
) -> None:
    """Train a recipe on a data set and score it on validation; the test split is left alone."""
    from models import devices, distributed
    from models.recipe import read_recipe
    from models.runs import destination
    from models.train import train as train_recipe

    chosen = read_recipe(recipe, set_ or [])
    dataset = _dataset(data)
    folder = destination(out, name, f"{chosen.name}-{dataset.spec.name}")
    run = train_recipe(chosen, dataset, folder, device=devices.chosen(device), seed=seed, resume=resume)
    if not distributed.first():
        return
    console.current().emit(
        {"run": run.folder, "metrics": run.metrics},
        [
            *_tables(run.metrics, "validation"),
            f"Run in {run.folder}\nNext: lightmeter models evaluate {run.folder.name}",
        ],
    )


@app.command()
def evaluate(
    run: Annotated[Path, _RUN],
    data: Annotated[Path | None, _TRAINED_ON] = None,
    device: Annotated[str, _DEVICE] = "auto",
) -> None:
    """Score a run on the test split of its data set, once; how often that was done stays in the run."""
    from models import devices
    from models.evaluate import evaluate_run
    from models.runs import find_run, open_run

    predictor = open_run(run, devices.chosen(device))
    dataset = _dataset(data or Path(str(predictor.spec.data.get("name", ""))))
    folder = find_run(run)
    metrics = evaluate_run(folder, predictor, dataset)
    console.current().emit(
        {"run": folder, "metrics": metrics},
        [*_tables(metrics, "test"), f"Report: {folder / 'report.html'}"],
    )


@app.command()
def predict(
    run: Annotated[Path, _RUN],
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    device: Annotated[str, _DEVICE] = "auto",
) -> None:
    """Say how photographs were made; one that cannot be read is answered with the reason."""
    from models import devices
    from models.predict import predict_files
    from models.runs import open_run

    answers = predict_files(open_run(run, devices.chosen(device)), files)
    console.current().emit(answers, _answers(answers))
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


@app.command()
def explain(
    run: Annotated[Path, _RUN],
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    target: Annotated[str | None, _TARGET] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("explained"),
) -> None:
    """Show which patches and pixels counted for an answer."""
    from models.runs import open_run
    from models.studies import explain_files

    told = explain_files(open_run(run), files, target, out)
    rows = [(one["file"], one["target"], one["class"], one["picture"]) for one in told]
    console.current().emit(told, console.table("", ("photograph", "target", "answer", "picture"), rows))


@app.command()
def attack(
    run: Annotated[Path, _RUN],
    data: Annotated[Path | None, _TRAINED_ON] = None,
    target: Annotated[str | None, _TARGET] = None,
    levels: Annotated[str, typer.Option(help="Greatest changes of a pixel, of 255.")] = "0,0.25,0.5,1,2,4,8",
    limit: Annotated[int, typer.Option(min=1, help="Photographs of the test split.")] = 100,
) -> None:
    """Mislead a model by small changes of pixels (FGSM and PGD), and show how its accuracy falls."""
    from models.runs import find_run, open_run
    from models.studies import attack_split, write_attack

    predictor = open_run(run)
    dataset = _dataset(data or Path(str(predictor.spec.data.get("name", ""))))
    found = attack_split(predictor, dataset, target, _levels(levels), limit)
    picture = write_attack(find_run(run), found)
    rows = list(zip(found["levels"], found["fgsm"], found["pgd"], strict=True))
    console.current().emit(
        {**found, "picture": picture},
        [console.table("accuracy under attack", ("levels of 255", "FGSM", "PGD"), rows), f"Plot: {picture}"],
    )


@app.command()
def series(
    run: Annotated[Path, _RUN],
    files: Annotated[list[Path], typer.Argument(help="Photographs of one scene, one setting varied.")],
    target: Annotated[str | None, _TARGET] = None,
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("series.png"),
) -> None:
    """Predict a controlled series, and show the answers along the true setting."""
    from models.probing import target_of
    from models.runs import open_run
    from models.studies import series as predict_series
    from models.studies import write_series

    predictor = open_run(run)
    found = predict_series(predictor, files, target)
    write_series(out, found, target_of(predictor, target))
    rows = [(one["file"], one["truth"], one["stops"], one["class"]) for one in found]
    console.current().emit(
        {"series": found, "picture": out},
        [console.table("", ("photograph", "true stops", "answered stops", "class"), rows), f"Plot: {out}"],
    )


@app.command()
def similar(
    run: Annotated[Path, _RUN],
    file: Annotated[Path, typer.Argument(help="A photograph.")],
    data: Annotated[Path, typer.Option(help="Data set to search.")],
    count: Annotated[int, typer.Option(min=1, help="How many to show.")] = 10,
) -> None:
    """Find the photographs of a data set that a model sees most alike."""
    from models.runs import open_run
    from models.studies import similar as find_similar

    found = find_similar(open_run(run), file, _dataset(data), count)
    rows = [(one["likeness"], one["split"], one["file"]) for one in found]
    console.current().emit(found, console.table("", ("likeness", "split", "photograph"), rows))


def _levels(text: str) -> list[float]:
    from lightmeter.errors import UsageError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--levels wants numbers with commas between, not '{text}'.") from error


def _dataset(folder: Path) -> "DataSet":
    """Return a data set that is given as a path or by its name in the project."""
    from labels.dataset import read_dataset
    from lightmeter import project

    if not folder.exists() and len(folder.parts) == 1:
        here = project.find_if_any()
        if here and (here.datasets / folder).is_dir():
            folder = here.datasets / folder
    return read_dataset(folder)


def _tables(metrics: dict[str, Any], split: str) -> list[Any]:
    from models.report import figure_rows

    scored = metrics[split]
    return [
        console.table(
            f"{name}, {split}: {target['photographs']} photographs in {target['groups']} groups",
            ("figure", "this model", *target["baselines"]),
            figure_rows(target),
        )
        for name, target in scored["targets"].items()
    ]


def _answers(answers: list[dict[str, Any]]) -> Any:
    rows: list[tuple[object, ...]] = []
    for answer in answers:
        if "error" in answer:
            rows.append((answer["file"], "–", answer["error"]["reason"], None, None))
            continue
        for target, found in answer["predictions"].items():
            probability = found["probabilities"][found["class"]]
            rows.append((answer["file"], target, found["class"], probability, found.get("stops")))
    return console.table("", ("photograph", "target", "answer", "probability", "stops"), rows)
