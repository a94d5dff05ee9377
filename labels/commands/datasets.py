"""Freezing data sets."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.errors import UsageError
from lightmeter.harvest.commands.options import Where
from lightmeter.labels.commands.options import catalogue_engine

if TYPE_CHECKING:
    from lightmeter.labels.datasets.crops import Crop
    from lightmeter.labels.datasets.dataset import Dataset
    from lightmeter.labels.datasets.freeze import FreezeResult
    from lightmeter.labels.datasets.split import SplitOptions
    from lightmeter.labels.targets.base import Target
    from lightmeter.project import Project

app = CommandGroup()

_PARTS = 3


@app.command()
def split(  # noqa: PLR0913, PLR0917 - the options of a command
    name: Annotated[str, typer.Argument(help="Name of the data set.")] = "",
    target: Annotated[list[str] | None, typer.Option(help="What to learn; may be given several times.")] = None,
    ratios: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    group: Annotated[str, typer.Option(help="What holds photographs together.")] = "photographer,camera,duplicates",
    least: Annotated[
        int | None, typer.Option(min=1, help="A class with fewer photographs is left out; else as its target says.")
    ] = None,
    where: Where = "",
    folds: Annotated[int, typer.Option(min=0, help="Cross-validation: so many data sets NAME/fold-1, ….")] = 0,
    holdout_source: Annotated[str, typer.Option(help="The photographs of this source are the test side.")] = "",
    balance: Annotated[
        bool, typer.Option("--balance", help="Leave photographs out until every class has as many on each side.")
    ] = False,
    crop: Annotated[str | None, typer.Option(help="Parts instead of whole photographs: face or border-free.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the data set; else datasets/NAME.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Freeze nothing: verify this data set, and that nothing in it leaks.")
    ] = None,
) -> None:
    """Freeze a data set whose sides share no photographer, no camera body and no near-identical pictures."""
    from lightmeter.labels.datasets.split import SplitOptions
    from lightmeter.project import find_project

    if check is not None:
        _check(check)
        return
    project = find_project()
    if not name:
        raise UsageError("Give the data set a name, such as shutter-v1.")
    if "/" in name or name.startswith("."):
        raise UsageError(f"'{name}' cannot be the name of a data set; use letters, digits, '-' and '_'.")
    if folds and (folds < _PARTS or holdout_source):
        raise UsageError(f"--folds must be at least {_PARTS}, and cannot go with --holdout-source.")
    targets = _targets(target or [], project, balance=balance)
    by, parts, fold = _group(group), _crop(crop, project), int(folds > 0)
    choices = SplitOptions(seed, _ratios(ratios), by, least, where, folds, fold, holdout_source, balance, parts)
    _freeze(project, out or project.datasets / name, targets, choices)


def _targets(names: list[str], project: "Project", *, balance: bool) -> "list[Target[Any]]":
    from lightmeter.labels.targets.registry import get_target

    if not names:
        raise UsageError("Say what to learn with --target, such as --target shutter; 'labels targets' lists them.")
    targets = [get_target(name, project) for name in dict.fromkeys(names)]
    if balance and (len(targets) > 1 or targets[0].multilabel):
        raise UsageError("--balance needs one target, and one of whose classes a photograph has a single one.")
    return targets


def _freeze(project: "Project", folder: Path, targets: "list[Target[Any]]", choices: "SplitOptions") -> None:
    """Freeze a data set, or one for each fold, and show what came of it."""
    from dataclasses import replace

    from lightmeter.labels.annotations.rules import count_photographs
    from lightmeter.labels.datasets.collect import collect
    from lightmeter.labels.datasets.freeze import freeze

    places = {folder / f"fold-{n}": replace(choices, fold=n) for n in range(1, choices.folds + 1)} or {folder: choices}
    with catalogue_engine(project) as engine:
        with console.get_console().progress() as progress, engine.connect() as connection:
            task = progress.add_task("gathering", total=count_photographs(engine, choices.where))
            told = partial(progress.advance, task)
            gathered = collect(connection, targets, choices.where, choices.crop, told)
        frozen = [freeze(engine, project, place, gathered, part) for place, part in places.items()]
    documents, shown = zip(*(_shown(one) for one in frozen), strict=True)
    document = {"folds": documents} if choices.folds else documents[0]
    console.get_console().emit(document, [part for parts in shown for part in parts])


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="A data set: its folder, or its name.")],
    form: Annotated[str, typer.Option("--format", help="webdataset, imagefolder or parquet (Hugging Face).")],
    out: Annotated[Path | None, typer.Option(help="Folder of the pack; else packs/NAME-FORMAT.")] = None,
    any_licence: Annotated[bool, typer.Option("--any-licence", help="Also what may not be passed on.")] = False,
) -> None:
    """Pack a data set with its pictures, for other programs and other people."""
    from lightmeter.labels.datasets.export.export import export as write_pack
    from lightmeter.project import find_project

    project = find_project()
    dataset = _dataset(folder)
    target = out or project.root / "packs" / f"{dataset.spec.name}-{form}"
    with console.get_console().progress() as progress:
        task = progress.add_task("packing", total=dataset.manifest.num_rows)
        packed = write_pack(
            dataset, target, form, any_licence=any_licence, on_progress=lambda n: progress.advance(task, n)
        )
    lines = [f"{sum(packed.images.values())} pictures: {packed.folder}"]
    lines += [f"{packed.excluded} pictures left out: no licence lets anyone pass them on."] * bool(packed.excluded)
    console.get_console().emit(vars(packed), "\n".join(lines))


def _dataset(folder: Path) -> "Dataset":
    """Read a data set by its folder or, in a project, by its name."""
    from lightmeter.labels.datasets.dataset import open_dataset

    return open_dataset(folder)


def _check(folder: Path) -> None:
    from lightmeter.labels.datasets.verify import verify
    from lightmeter.project import find_optional_project

    project = find_optional_project()
    dataset = _dataset(folder)
    with ExitStack() as stack:
        engine = stack.enter_context(catalogue_engine(project)) if project else None
        connection = stack.enter_context(engine.connect()) if engine else None
        progress = stack.enter_context(console.get_console().progress())
        task = progress.add_task("checking", total=dataset.manifest.num_rows)
        problems = verify(dataset, connection, lambda done: progress.advance(task, done))
    fine = f"{dataset.spec.name} is sound: {dataset.manifest.num_rows} photographs, {dataset.spec.manifest_sha256}"
    console.get_console().emit(
        {"name": dataset.spec.name, "valid": not problems, "violations": [vars(problem) for problem in problems]},
        [f"✗ {problem}" for problem in problems] or fine,
    )
    if problems:
        raise typer.Exit(1)


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != _PARTS or min(parts) <= 0:
        raise UsageError(f"--ratios {text} is wrong: give three numbers above 0, such as 80/10/10.")
    first, second, third = (part / sum(parts) for part in parts)
    return first, second, third


def _group(text: str) -> Any:
    from lightmeter.labels.datasets.groups import GROUP_KEYS

    wanted = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in wanted if part not in GROUP_KEYS]
    if wrong:
        raise UsageError(f"--group {wrong[0]} is wrong: choose from {', '.join(GROUP_KEYS)}.")
    return tuple(key for key in GROUP_KEYS if key in wanted)


def _crop(text: str | None, project: "Project") -> "Crop | None":
    from lightmeter.labels.datasets.crops import CROP_KINDS, crop_for

    if text is None:
        return None
    for kind in CROP_KINDS:
        if text == kind:
            return crop_for(kind, project.settings)
    raise UsageError(f"--crop {text} is wrong: choose from {', '.join(CROP_KINDS)}.")


def _shown(frozen: "FreezeResult") -> tuple[dict[str, Any], list[Any]]:
    """Return a data set as JSON has it and as a person reads it."""
    from lightmeter.labels.datasets.card import class_table
    from lightmeter.labels.datasets.dataset import class_counts

    dataset = frozen.dataset
    counts = {one.name: class_counts(dataset.manifest, one) for one in dataset.spec.targets}
    tables = [console.table(one.name, *class_table(dataset.spec, counts[one.name])) for one in dataset.spec.targets]
    what = f"crops ({dataset.spec.split['crop']})" if "crop" in dataset.spec.split else "photographs"
    said = "" if frozen.created else " Already exists, unchanged."
    return (
        {
            "name": dataset.spec.name,
            "path": dataset.folder,
            "manifest_sha256": dataset.spec.manifest_sha256,
            "created": frozen.created,
            "photographs": dataset.manifest.num_rows,
            "groups": frozen.split.groups,
            "splits": dataset.spec.counts,
            "counts": counts,
            "excluded_classes": [vars(one) for one in frozen.split.rare_classes],
            "undersampled": frozen.split.undersampled,
            "baselines": {name: [vars(one) for one in found] for name, found in frozen.baselines.items()},
            "advisories": frozen.advisories,
        },
        [
            *tables,
            *(f"• {note}" for note in frozen.advisories),
            f"{dataset.manifest.num_rows} {what} in {frozen.split.groups} groups: {dataset.folder}{said}",
        ],
    )
