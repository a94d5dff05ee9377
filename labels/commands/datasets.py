"""Commands for existing data sets: list, compare, verify, pack and remove."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import UsageError
from lightmeter.harvest.commands.options import progress_bar
from lightmeter.labels.commands.options import catalogue_engine
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_optional_project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup, Force, Yes, check_unused, confirm_removal
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import Dataset
    from lightmeter.labels.datasets.verify import Violation

app = CommandGroup()


DatasetArgument = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="Name or folder of the data set.", autocompletion=completion.datasets),
]


@app.command(name="list")
def list_() -> None:
    """List the data sets of the project, and what uses them."""
    from lightmeter.labels.datasets.inventory import list_datasets
    from lightmeter.labels.datasets.manifest import SPLITS

    entries = list_datasets(find_project())
    document = [
        {
            "name": entry.name,
            "path": entry.folder,
            "created_at": entry.created_at,
            "targets": [target.name for target in entry.spec.targets] if entry.spec else [],
            "counts": entry.spec.counts if entry.spec else {},
            "manifest_sha256": entry.spec.manifest_sha256 if entry.spec else None,
            "used_by": entry.used_by,
            "problem": entry.problem,
        }
        for entry in entries
    ]
    rows = [
        (
            entry.name,
            ", ".join(target.name for target in entry.spec.targets) if entry.spec else entry.problem,
            *([entry.spec.counts.get(split, 0) for split in SPLITS] if entry.spec else [None] * len(SPLITS)),
            f"{entry.created_at.astimezone():%Y-%m-%d %H:%M}",
            ", ".join(entry.used_by),
        )
        for entry in entries
    ]
    table = console.table("", ("data set", "targets", *SPLITS, "created", "used by"), rows)
    console.get_console().emit(document, table if rows else "No data sets; create one with 'lightmeter labels split'.")


@app.command()
def remove(dataset: DatasetArgument, yes: Yes = False, force: Force = False) -> None:
    """Remove a data set of the project; photographs and labels are kept."""
    from lightmeter.labels.datasets.inventory import list_datasets, remove_dataset

    project = find_project()
    name = dataset.as_posix().rstrip("/")
    if dataset.resolve().is_relative_to(project.datasets.resolve()):
        name = dataset.resolve().relative_to(project.datasets.resolve()).as_posix()
    entries = list_datasets(project)
    selected = [entry for entry in entries if entry.name == name or entry.name.startswith(f"{name}/")]
    if not selected:
        raise UsageError(unknown_name_message("data set", name, [entry.name for entry in entries]))
    users = dict.fromkeys(user for entry in selected for user in entry.used_by)
    check_unused(f"The data set {name}", list(users), force=force)
    photographs = sum(sum(entry.spec.counts.values()) for entry in selected if entry.spec)
    folds = f", {counted(len(selected), 'fold')}" if len(selected) > 1 else ""
    confirm_removal(f"the data set {name} ({counted(photographs, 'row')}{folds})", yes=yes)
    with catalogue_engine(project) as engine:
        remove_dataset(engine, project, project.datasets / name)
    console.get_console().emit({"removed": name}, f"Removed the data set {name}.")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Name or folder of a data set.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Name or folder of another one.")],
) -> None:
    """Show how two data sets differ: options, definitions, photographs, splits and labels."""
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.datasets.diff import dataset_changes

    first, second = open_dataset(before), open_dataset(after)
    changes = dataset_changes(first, second)
    document = {"before": first.spec.name, "after": second.spec.name, "changes": changes}
    equal = f"{first.spec.name} and {second.spec.name} have the same photographs, splits, labels and options."
    console.get_console().emit(document, [f"• {change}" for change in changes] or equal)


@app.command()
def verify(folder: DatasetArgument) -> None:
    """Verify an existing data set: manifest, files, leakage between splits, EXIF in the catalogue.

    Data sets of other programs are searched for photographers, camera bodies and near-duplicates in several splits:
    image folders (train/CLASS/1.jpg), Hugging Face Parquet, and tables with the columns path and split.
    """
    from lightmeter.labels.datasets.dataset import is_foreign, open_dataset

    if is_foreign(folder):
        _audit(folder)
        return
    dataset = open_dataset(folder)
    violations = _violations(dataset)
    spec = dataset.spec
    console.get_console().emit(
        {"name": spec.name, "valid": not violations, "violations": [vars(violation) for violation in violations]},
        [f"✗ {violation}" for violation in violations]
        or f"{spec.name} is valid: {counted(dataset.manifest.num_rows, 'photograph')}, {spec.manifest_sha256}",
    )
    if violations:
        raise typer.Exit(1)


def _audit(path: Path) -> None:
    """Search a data set of another program for leaks."""
    from lightmeter.labels.datasets.foreign import audit
    from lightmeter.settings import read_settings

    project = find_optional_project()
    with progress_bar("verifying", None) as on_progress:
        result = audit(path, project.settings if project else read_settings(None), on_progress)
    total = sum(result.photographs.values())
    counts = ", ".join(f"{count} {split}" for split, count in result.photographs.items())
    identified = f"photographer known for {result.with_owner}, camera body for {result.with_body}"
    console.get_console().emit(
        {
            "name": path.name,
            "valid": not result.violations,
            **vars(result),
            "violations": [vars(violation) for violation in result.violations],
        },
        [
            *(f"✗ {violation}" for violation in result.violations),
            f"{path}: {counted(total, 'photograph')} ({counts}); {identified}.",
        ],
    )
    if result.violations:
        raise typer.Exit(1)


@app.command()
def pack(
    folder: DatasetArgument,
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="webdataset, imagefolder or parquet (Hugging Face).",
            autocompletion=completion.choices("webdataset", "imagefolder", "parquet"),
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Output folder (default: packs/NAME-FORMAT).")] = None,
    any_licence: Annotated[
        bool, typer.Option("--any-licence", help="Include images whose licence forbids redistribution.")
    ] = False,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Pack the original files with EXIF, names and coordinates.")
    ] = False,
    shard_mb: Annotated[
        int | None,
        typer.Option(min=1, max=2**20, help="Size of the tar files of WebDataset.", show_default="256"),
    ] = None,
) -> None:
    """Pack a data set with its images as WebDataset, image folder or Parquet.

    The images have no metadata except orientation and colour profile; their pixels are unchanged.
    """
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.datasets.export.export import export

    project = find_project()
    dataset = open_dataset(folder)
    out = out or project.root / "packs" / f"{dataset.spec.name}-{format_name}"
    with progress_bar("packing", dataset.manifest.num_rows) as on_progress:
        result = export(
            dataset,
            out,
            format_name,
            any_licence=any_licence,
            keep_metadata=keep_metadata,
            shard_mb=shard_mb,
            on_progress=on_progress,
        )
    lines = [f"Packed {counted(sum(result.images.values()), 'image')}: {result.folder}"]
    if result.excluded:
        lines.append(
            f"Excluded {counted(result.excluded, 'image')}: the licence does not permit redistribution (use "
            "--any-licence to include them)."
        )
    if result.converted:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(result.converted.items()))
        lines.append(f"Converted to lossless PNG or TIFF, to remove metadata: {counts}.")
    if result.equal:
        lines.append(f"{counted(result.equal, 'image')} equal to others: the manifest names each image once.")
    console.get_console().emit(vars(result), lines)


def _violations(dataset: "Dataset") -> "list[Violation]":
    """Verify a data set, with the catalogue if the command runs in a project."""
    from lightmeter.labels.datasets.verify import verify as find_violations

    project = find_optional_project()
    with progress_bar("verifying", dataset.manifest.num_rows) as on_progress:
        if project is None or not dataset.spec.store:  # the images of a pack are in no catalogue
            return find_violations(dataset, None, on_progress)
        with catalogue_engine(project) as engine, engine.connect() as connection:
            return find_violations(dataset, connection, on_progress)
