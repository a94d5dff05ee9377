"""Command that splits labelled photographs into a data set."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lightmeter.errors import UsageError
from lightmeter.harvest.commands.options import Where, progress_bar
from lightmeter.labels.commands.options import catalogue_engine
from lightmeter.project import Project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.names import folder_name, name_key, name_problem
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine

    from lightmeter.labels.datasets.collect import LabelledPhotos
    from lightmeter.labels.datasets.freeze import FreezeResult
    from lightmeter.labels.datasets.splits.extend import Base
    from lightmeter.labels.datasets.splits.groups import GroupKey
    from lightmeter.labels.datasets.splits.split import SplitOptions
    from lightmeter.labels.targets.base import Target

app = CommandGroup()

_SPLITS = 3


_NOT_EXTENDED = ("target", "group", "min_per_class", "folds", "holdout_source", "undersample", "crop")
"""Options that a data set has in common with the one that it extends."""


_EXCLUDES = {
    "like": (*("ids_only", "extend", "ratios", "seed", "min_per_class"), *("folds", "holdout_source", "undersample")),
    "ids_only": ("extend", "folds"),
}
"""Options of ``split`` that cannot be used together."""


def _split_table(path: Path | None) -> Path | None:
    """Return the file of ``--like``, whose suffix ``.csv`` may be left out."""
    if path is None or path.is_file():
        return path
    with_suffix = path.with_name(f"{path.name}.csv")
    if with_suffix.is_file():
        return with_suffix
    hint = " Write it with 'lightmeter labels published-split FOLDER'." if path.name == "flickr-exif" else ""
    raise typer.BadParameter(f"File '{with_suffix if hint else path}' does not exist.{hint}")


@app.command()
def split(  # noqa: PLR0913, PLR0917 - the options of a command
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET", help="Target (repeatable).", autocompletion=completion.plugin_names("targets")),
    ] = None,
    ratios: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "80/10/10",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed.")] = 0,
    group: Annotated[str, typer.Option(help="Group keys kept in one split.")] = "photographer,camera,duplicates",
    min_per_class: Annotated[
        int | None, typer.Option(min=1, help="Exclude classes with fewer photographs (default: set by the target).")
    ] = None,
    where: Where = "",
    folds: Annotated[int, typer.Option(min=0, help="Number of cross-validation folds (NAME/fold-1, …).")] = 0,
    holdout_source: Annotated[str, typer.Option(help="Use the photographs of this source as test split.")] = "",
    undersample: Annotated[
        bool, typer.Option("--undersample", help="Undersample to equal class counts in each split.")
    ] = False,
    crop: Annotated[
        Literal["face", "border-free"] | None, typer.Option(help="Use crops instead of whole photographs.")
    ] = None,
    extend: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="Extend this data set; its photographs and groups keep their splits."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Repeat the split of this table (see --ids-only); flickr-exif: of flickr-exif.csv (see "
            "published-split).",
            callback=_split_table,
        ),
    ] = None,
    ids_only: Annotated[
        bool, typer.Option("--ids-only", help="Write only a table of the split, NAME.csv, that others can repeat.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Output folder (default: datasets/NAME), or table.")] = None,
) -> None:
    """Create a data set whose splits share no photographer, camera body or near-duplicates."""
    from lightmeter.labels.datasets.crops import crop_for
    from lightmeter.labels.datasets.splits.split import SplitOptions

    project = find_project()
    if name_problem(name) or name_key(folder_name(name)) != name_key(name):
        raise UsageError(f"Invalid data set name '{name}': use letters, digits, '-' and '_'.")
    sources = {key: context.get_parameter_source(key) for key in context.params}
    given = {key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    _check_combination(given)
    folder = out or project.datasets / name
    if extend is not None:
        results = [_extend(project, folder, extend, context.params, given)]
    else:
        if folds and (folds < _SPLITS or holdout_source):
            raise UsageError(f"--folds must be at least {_SPLITS}, and excludes --holdout-source.")
        targets = _targets(target or [], project, undersample=undersample)
        options = SplitOptions(
            seed=seed,
            ratios=_parse_ratios(ratios),
            group_by=_parse_group_keys(group),
            min_per_class=min_per_class,
            where=where,
            folds=folds,
            fold=int(folds > 0),
            holdout_source=holdout_source,
            undersample=undersample,
            crop=crop_for(crop, project.settings) if crop else None,
        )
        if ids_only:
            _write_ids(project, out or Path(f"{name}.csv"), targets, options)
            return
        results = _create(project, folder, targets, options, like)
    documents = [_document(result) for result in results]
    console.get_console().emit(
        {"folds": documents} if folds else documents[0], [part for result in results for part in _format_result(result)]
    )
    console.get_console().next_step("models", "train", "lightmeter", "--data", f"{name}/fold-1" if folds else name)


def _targets(names: list[str], project: Project, *, undersample: bool) -> "list[Target[Any]]":
    from lightmeter.labels.targets.registry import get_target

    if not names:
        raise UsageError(
            "Missing option --target (for example --target shutter). List targets with 'lightmeter labels targets'."
        )
    targets = [get_target(name, project) for name in dict.fromkeys(names)]
    if undersample and (len(targets) > 1 or targets[0].multilabel):
        raise UsageError("--undersample needs exactly one target, which must not be multilabel.")
    return targets


def _create(
    project: Project, folder: Path, targets: "list[Target[Any]]", options: "SplitOptions", like: Path | None
) -> "list[FreezeResult]":
    """Create one data set, or one for each fold."""
    from dataclasses import replace

    from lightmeter.labels.datasets.freeze import freeze
    from lightmeter.labels.datasets.splits.published import read_published

    folds = range(1, options.folds + 1)
    folders = {folder / f"fold-{fold}": replace(options, fold=fold) for fold in folds} or {folder: options}
    with catalogue_engine(project) as engine:
        with engine.connect() as connection:
            published = read_published(connection, like) if like else None
        photographs = _collect(engine, targets, options)
        return [
            freeze(engine, project, output, photographs, output_options, like=published)
            for output, output_options in folders.items()
        ]


def _write_ids(project: Project, file: Path, targets: "list[Target[Any]]", options: "SplitOptions") -> None:
    """Write the split of photographs as a table."""
    from lightmeter.files import check_output
    from lightmeter.labels.datasets.splits.published import write_ids
    from lightmeter.labels.datasets.splits.split import split as split_photographs

    check_output(file)
    with catalogue_engine(project) as engine:
        result = split_photographs(_collect(engine, targets, options), options)
        with engine.connect() as connection:
            count = write_ids(file, connection, result)
    console.get_console().emit(
        {"file": file, "photographs": count}, f"Wrote the split of {counted(count, 'photograph')}: {file}"
    )


def _collect(
    engine: "Engine",
    targets: "list[Target[Any]]",
    options: "SplitOptions",
    base: "Base | None" = None,
) -> "LabelledPhotos":
    """Collect the labelled photographs of the options, and those of a data set that is extended."""
    from lightmeter.labels.annotations.photo_facts import last_image
    from lightmeter.labels.datasets.collect import collect

    with engine.connect() as connection, progress_bar("collecting", last_image(connection)) as on_progress:
        kept, known = (base.photographs, base.splits) if base else ((), ())
        return collect(connection, targets, options.where, options.crop, on_progress, kept=kept, known=known)


def _check_combination(given: "Collection[str]") -> None:
    """Check that the options of a command can be used together."""
    for key, others in _EXCLUDES.items():
        for other in others:
            if key in given and other in given:
                first, second = (f"--{name.replace('_', '-')}" for name in (key, other))
                raise UsageError(f"{first} excludes {second}; leave one of them out.")


def _extend(
    project: Project, folder: Path, base_folder: Path, params: dict[str, Any], given: "Collection[str]"
) -> "FreezeResult":
    """Create a data set that extends another one, with its options except those given."""
    from lightmeter.labels.datasets.crops import crop_for
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.datasets.freeze import freeze
    from lightmeter.labels.datasets.splits.extend import open_base
    from lightmeter.labels.datasets.splits.split import SplitOptions

    for key in _NOT_EXTENDED:
        if key in given:
            option = f"--{key.replace('_', '-')}"
            raise UsageError(f"--extend keeps the {option} of the data set that is extended; leave {option} out.")
    base = open_base(open_dataset(base_folder))
    recorded = base.dataset.spec.split
    targets = _targets([target.name for target in base.dataset.spec.targets], project, undersample=False)
    ratios = params["ratios"] if "ratios" in given else "/".join(map(str, recorded.get("ratios", (8, 1, 1))))
    options = SplitOptions(
        seed=params["seed"] if "seed" in given else recorded.get("seed", 0),
        ratios=_parse_ratios(ratios),
        group_by=_parse_group_keys(",".join(recorded.get("group_by", ()))),
        min_per_class=recorded.get("min_per_class"),
        where=params["where"] if "where" in given else recorded.get("where", ""),
        holdout_source=recorded.get("holdout_source", ""),
        crop=crop_for(recorded["crop"], project.settings) if "crop" in recorded else None,
    )
    with catalogue_engine(project) as engine:
        photographs = _collect(engine, targets, options, base)
        return freeze(engine, project, folder, photographs, options, base)


def _parse_ratios(text: str) -> tuple[float, float, float]:
    try:
        ratios = [float(part) for part in text.split("/")]
    except ValueError:
        ratios = []
    if len(ratios) != _SPLITS or not all(0 < ratio < math.inf for ratio in ratios):
        raise UsageError(f"Invalid --ratios '{text}': give three numbers above 0, for example 80/10/10.")
    train, validation, test = (ratio / sum(ratios) for ratio in ratios)
    return train, validation, test


def _parse_group_keys(text: str) -> "tuple[GroupKey, ...]":
    from lightmeter.labels.datasets.splits.groups import GROUP_KEYS

    names = {part.strip() for part in text.split(",")} - {""}
    unknown = sorted(names - set(GROUP_KEYS))
    if unknown:
        raise UsageError(f"Invalid --group '{unknown[0]}': choose from {', '.join(GROUP_KEYS)}.")
    return tuple(key for key in GROUP_KEYS if key in names)


def _document(result: "FreezeResult") -> dict[str, Any]:
    from lightmeter.labels.datasets.dataset import class_counts

    spec, manifest = result.dataset.spec, result.dataset.manifest
    return {
        "name": spec.name,
        "path": result.dataset.folder,
        "manifest_sha256": spec.manifest_sha256,
        "created": result.created,
        "photographs": manifest.num_rows,
        "groups": result.split.groups,
        "splits": spec.counts,
        "counts": {target.name: class_counts(manifest, target) for target in spec.targets},
        "excluded_classes": [vars(rare) for rare in result.split.rare_classes],
        "undersampled": result.split.undersampled,
        "shortcut_baselines": {
            name: [vars(baseline) for baseline in baselines] for name, baselines in result.baselines.items()
        },
        "advisories": result.advisories,
        **({"unknown_ids": result.unknown_ids} if "like" in spec.split else {}),
    }


def _format_result(result: "FreezeResult") -> list[Any]:
    from lightmeter.labels.datasets.card.card import class_table
    from lightmeter.labels.datasets.dataset import class_counts

    spec, manifest = result.dataset.spec, result.dataset.manifest
    tables = [console.table(target.name, *class_table(spec, class_counts(manifest, target))) for target in spec.targets]
    crops = f" ({spec.split['crop']})" if "crop" in spec.split else ""
    rows = counted(manifest.num_rows, "crop" if crops else "photograph")
    existing = "" if result.created else " Already exists, unchanged."
    return [
        *tables,
        *(f"• {advisory}" for advisory in result.advisories),
        f"{rows}{crops} in {counted(result.split.groups, 'group')}: {result.dataset.folder}{existing}",
    ]
