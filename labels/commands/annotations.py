"""Commands for annotations: set, show, export and import."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import format_of, write_output
from lightmeter.harvest.commands.options import Where, progress_bar
from lightmeter.labels.commands.options import Author, catalogue_engine
from lightmeter.project import find_optional_project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from lightmeter.labels.annotations.importing import ImportResult
    from lightmeter.labels.targets.base import Target

app = CommandGroup()

_LOCAL_URL = "http://localhost:8000"
_MAX_ROWS = 20
_SHOWN_NAMES = 5
_ASSIGNMENT = re.compile(r"[a-z][a-z0-9-]*=")


@app.command(name="set")
def set_(
    args: Annotated[
        list[str], typer.Argument(metavar="PHOTO|TARGET=CLASS", help="Photographs, then labels such as medium=film.")
    ],
    author: Author,
    where: Where = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --where: show what would change, and change nothing.")
    ] = False,
) -> None:
    """Label photographs manually, by name or all that match a query; 'TARGET=' removes your earlier label."""
    from lightmeter.labels.annotations.manual import set_labels
    from lightmeter.labels.targets.registry import get_target

    project = find_project()
    photographs = [arg for arg in args if not _ASSIGNMENT.match(arg) or Path(arg).is_file()]
    assignments = [arg.partition("=") for arg in args if arg not in photographs]
    if bool(photographs) == bool(where.strip()) or not assignments:
        raise UsageError(
            "Give at least one photograph and one TARGET=CLASS, for example p001.jpg medium=film, or --where QUERY "
            "instead of photographs."
        )
    if dry_run and photographs:
        raise UsageError("--dry-run needs --where QUERY.")
    values = {name: value or None for name, _, value in assignments}
    if len(values) < len(assignments):
        raise UsageError("Give each target once; separate several classes of a target with '|'.")
    targets = {get_target(name, project): value for name, value in values.items()}
    summary = ", ".join(f"{name} = {value or '(removed)'}" for name, value in values.items())
    with catalogue_engine(project) as engine:
        if photographs:
            hashes = set_labels(engine, photographs, targets, author)
            document: dict[str, Any] = {"photographs": hashes, "labels": values}
            lines = [f"{counted(len(hashes), 'photograph')}: {summary}"]
        else:
            document, lines = _set_where(engine, where, targets, author, dry_run=dry_run)
    console.get_console().emit(document, lines)


def _set_where(
    engine: "Engine", where: str, targets: "Mapping[Target[Any], str | None]", author: str, *, dry_run: bool
) -> tuple[dict[str, Any], list[str]]:
    """Label the photographs of a query; return the result as a document and as text."""
    from lightmeter.labels.annotations.manual import set_labels_where

    result = set_labels_where(engine, where, targets, author, dry_run=dry_run)
    values = {target.name: value for target, value in targets.items()}
    lines = [f"{counted(result.photographs, 'photograph')} selected."]
    for name, value in values.items():
        verb = "would get" if dry_run else "now have"
        label = f"{name} = {value}" if value else f"no {name} of {author}"
        line = f"{result.changed[name]} {verb} {label}; {result.photographs - result.changed[name]} had it already."
        replaced = ", ".join(f"{count} {other}" for other, count in result.replaced[name].most_common())
        lines.append(f"{line} {'Replaces' if dry_run else 'Replaced'}: {replaced}." if replaced else line)
    return {**vars(result), "labels": values, "dry_run": dry_run}, lines


@app.command()
def show(
    photographs: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="File, SHA-256 (or its first digits), or file name or id at the source."),
    ],
) -> None:
    """Show metadata and label history of photographs."""
    from lightmeter.labels.annotations.manual import photo_history

    with catalogue_engine(find_project()) as engine, engine.connect() as connection:
        histories = [photo_history(connection, name) for name in photographs]
    console.get_console().emit(histories, [part for history in histories for part in _format_history(history)])


def _format_history(history: "Mapping[str, Any]") -> "Iterator[Any]":
    from lightmeter.harvest.exif.columns import EXIF_COLUMNS

    exif = ", ".join(f"{name} {EXIF_COLUMNS[name].format(value)}" for name, value in history["exif"].items())
    files = ", ".join(str(sighting["file"]) for sighting in history["sightings"])
    yield f"{history['sha256']} ({files})"
    yield exif or "no EXIF"
    rows = [
        (
            "●" if row["effective"] else "",
            row["target"],
            row["value"],
            row["origin"],
            row["author"],
            row["created_at"].astimezone().strftime("%Y-%m-%d %H:%M"),
        )
        for row in history["labels"]
    ]
    yield console.table("", ("effective", "target", "class", "origin", "author", "time"), rows)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - the options of a command
    file: Annotated[
        Path,
        typer.Argument(
            help="File to write: .csv; .json: tasks for Label Studio; .xml: its labelling interface; or a folder."
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="Only labels of this target (repeatable).",
            autocompletion=completion.plugin_names("targets"),
        ),
    ] = None,
    where: Where = "",
    format_name: Annotated[
        Literal["iiif", "ro-crate"] | None,
        typer.Option("--format", help="With --dataset: write a folder for viewers (IIIF) or repositories (RO-Crate)."),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="Data set of --format.", autocompletion=completion.datasets),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Add a model trained on the data set (ro-crate).")
    ] = None,
    url: Annotated[str, typer.Option(help="URL under which the folder will be served (iiif).")] = _LOCAL_URL,
    any_licence: Annotated[
        bool, typer.Option("--any-licence", help="Include images whose licence forbids redistribution (iiif).")
    ] = False,
) -> None:
    """Export labels with their history as CSV or for Label Studio, or a data set with its labels."""
    if format_name is not None or dataset is not None:
        if format_name is None or dataset is None or target or where:
            raise UsageError("--format and --dataset belong together, and exclude --target and --where.")
        _export_dataset(file, format_name, dataset, run, url, any_licence=any_licence)
        return
    from lightmeter.labels.annotations.csv_io import export_csv
    from lightmeter.labels.annotations.label_studio import export_label_studio, label_config
    from lightmeter.labels.annotations.model import annotations_by_photo
    from lightmeter.labels.targets.registry import get_target, list_targets

    project = find_project()
    names = [get_target(name, project).name for name in target] if target else list(list_targets(project))
    file_format = format_of(file, {".csv": "csv", ".json": "label-studio", ".xml": "interface"}, default="csv")
    if file_format == "interface":
        write_output(file, label_config(get_target(name, project) for name in names))
        console.get_console().emit(
            {"file": file, "targets": names}, f"Exported the interface of {counted(len(names), 'target')}: {file}"
        )
        return
    with catalogue_engine(project) as engine, engine.connect() as connection:
        photos = annotations_by_photo(connection, names, where)
        is_csv = file_format == "csv"
        count = export_csv(photos, file) if is_csv else export_label_studio(photos, file, project.store)
    console.get_console().emit({"file": file, "labels": count}, f"Exported {counted(count, 'label')}: {file}")


def _export_dataset(
    folder: Path, format_name: str, name: Path, run: Path | None, url: str, *, any_licence: bool
) -> None:
    """Export a data set as a folder."""
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.datasets.export.iiif import MANIFEST, export_iiif
    from lightmeter.labels.datasets.export.ro_crate import export_ro_crate

    dataset, project = open_dataset(name), find_optional_project()
    if format_name == "iiif":
        with progress_bar("exporting", dataset.manifest.num_rows) as on_progress:
            count = export_iiif(dataset, folder, url, any_licence=any_licence, on_progress=on_progress)
        excluded = dataset.manifest.num_rows - count
        lines = [
            f"Exported {counted(count, 'image')}: {folder / MANIFEST}, to be served as {url.rstrip('/')}/{MANIFEST}"
        ]
        if excluded:
            lines.append(f"Excluded {counted(excluded, 'image')}: their licence does not permit redistribution.")
        console.get_console().emit({"folder": folder, "images": count, "excluded": excluded}, lines)
        return
    if run is not None and project and not run.exists() and (project.runs / run).is_dir():
        run = project.runs / run
    count = export_ro_crate(dataset, folder, run)
    console.get_console().emit({"folder": folder, "files": count}, f"Exported {counted(count, 'file')}: {folder}")


@app.command(name="import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(help="A .csv or .tsv table, or a .json export of Label Studio.", exists=True, dir_okay=False),
    ],
    author: Author,
    remove_empty: Annotated[
        bool, typer.Option("--remove-empty", help="Remove the author's label where a row has no class.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Import labels from a table or Label Studio; existing labels are not added again, invalid rows are refused.

    A table names its photographs by file name, path, source id or SHA-256 (columns file, source_id, sha256), and has a
    column per target (file,medium) or the columns target and value.
    """
    from lightmeter.labels.annotations.importing import import_labels
    from lightmeter.labels.targets.registry import list_targets

    project = find_project()
    targets = {name: entry.target for name, entry in list_targets(project).items()}
    with catalogue_engine(project) as engine:
        result = import_labels(engine, file, targets, author, remove_empty=remove_empty, dry_run=dry_run)
    console.get_console().emit({**vars(result), "dry_run": dry_run}, list(_format_import(result, dry_run=dry_run)))
    if result.refused:
        raise typer.Exit(1)
    if result.unknown_photographs and not result.matched:
        raise LightmeterError(f"None of the photographs in {file} is in the catalogue.")


def _format_import(result: "ImportResult", *, dry_run: bool) -> "Iterator[Any]":
    if dry_run and result.changes:
        rows = [(row["sha256"][:12], row["target"], row["before"], row["after"]) for row in result.changes]
        yield console.table("Labels that would change", ("photograph", "target", "before", "after"), rows[:_MAX_ROWS])
        yield from _more(len(rows), "labels")
    if result.matched:
        ways = ", ".join(f"{count} by {way}" for way, count in result.matched.most_common())
        yield f"{counted(result.matched.total(), 'photograph')} found: {ways}."
    counts = [
        f"{counted(result.added - result.removed, 'label')} {'would be ' if dry_run else ''}added",
        *([f"{result.removed} {'would be ' if dry_run else ''}removed"] if result.removed else []),
        f"{result.existing} already existed",
        f"{result.unknown_photographs} skipped (photograph not in the catalogue{_examples(result.unknown)})",
    ]
    if result.empty:
        counts.append(
            f"{counted(result.empty, 'row')} without a class ignored (use --remove-empty to remove these labels)"
        )
    if result.skipped:
        counts.append(f"{result.skipped} skipped by their annotators")
    if result.refused:
        counts.append(f"{counted(len(result.refused), 'row')} refused")
    yield f"{', '.join(counts)}."
    if result.ignored:
        controls = ", ".join(f"{name} ({count})" for name, count in result.ignored.most_common())
        yield f"Ignored columns and controls that are no target: {controls}."
    for row in result.refused[:_MAX_ROWS]:
        yield f"✗ row {row['row']}: {row['reason']}"
    yield from _more(len(result.refused), "rows")


def _examples(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f": {shown}{', …' if len(names) > _SHOWN_NAMES else ''}" if names else ""


def _more(count: int, items: str) -> "Iterator[str]":
    if count > _MAX_ROWS:
        yield f"{count - _MAX_ROWS} more {items}; use --json for all of them."
