"""``lightmeter store``: check, copy and clean up the photo store."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.commands.options import progress_bar
from lightmeter.project import Project, find_project
from lightmeter.terminal import console
from lightmeter.terminal.commands import command_group
from lightmeter.terminal.console import table
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.store.base import PhotoStore

app = command_group("Check, copy and clean up the photo store.")

_MAX_SHOWN = 50


@app.command()
def check(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Delete damaged files and orphans; 'harvest retry' downloads lost ones again."),
    ] = False,
) -> None:
    """Compare every stored file with its hash and with the catalogue; an interrupted check continues."""
    from dataclasses import asdict

    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.store.check import check_store, count_images

    project = find_project()
    engine = open_engine(project)
    with progress_bar("checking", count_images(engine)) as on_progress:
        result = check_store(engine, project, repair=repair, on_progress=on_progress)
    document = asdict(result)
    del document["last"]
    console.get_console().emit(document, [*_tables(document), _summary(document)])
    if not result.sound and not repair:
        raise LightmeterError("The photo store is not sound; repair it with 'lightmeter store check --repair'.")


@app.command()
def copy(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Store to copy to: file:FOLDER (relative to the project) or s3://….")
    ],
) -> None:
    """Copy the photographs to another store, each compared with its hash; an interrupted copy continues."""
    from dataclasses import asdict

    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.store.check import count_images
    from lightmeter.harvest.store.copy import copy_store

    project = find_project()
    target = _open_other(project, url)
    engine = open_engine(project)
    with progress_bar("copying", count_images(engine)) as on_progress:
        result = copy_store(engine, project.store, target, on_progress)
    copied = f"{counted(result.copied, 'photograph')} ({result.size:,} bytes)"
    summary = f"Copied {copied} to {target}; {result.existing} were there."
    rows = [(fault, sha256) for sha256, fault in result.faults.items()]
    tables = [table("", ("fault", "file"), rows[:_MAX_SHOWN])] if rows else []
    hint = f'To use it, set url = "{url}" under [store] in lightmeter.toml, and store in dataset.toml of data sets.'
    console.get_console().emit({"url": target.url, **asdict(result)}, [*tables, summary, hint])
    if rows:
        raise LightmeterError(f"Missing or damaged: {counted(len(rows), 'photograph')}; see 'lightmeter store check'.")


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without it, they are only listed.")] = False,
    min_age_h: Annotated[
        float, typer.Option("--min-age", min=0, max=100_000, metavar="HOURS", help="Keep files stored since then.")
    ] = 24.0,
) -> None:
    """Find stored files that no photograph of the catalogue names, and remove them with --yes."""
    from datetime import timedelta

    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.store.garbage import collect_garbage
    from lightmeter.store.base import SHARDS

    project = find_project()
    with progress_bar("searching", len(SHARDS)) as on_progress:
        result = collect_garbage(
            open_engine(project), project.store, timedelta(hours=min_age_h), remove=yes, on_progress=on_progress
        )
    document = {
        "files": [file.key for file in result.files],
        "bytes": result.size,
        "recent": result.recent,
        "removed": result.removed,
    }
    rows = [(file.key, f"{file.size:,}", f"{file.modified:%Y-%m-%d %H:%M}") for file in result.files[:_MAX_SHOWN]]
    tables = [table("", ("file", "bytes", "stored"), rows)] if rows else []
    summary = (
        f"Removed {result.removed} of {counted(len(result.files), 'file')}"
        if yes
        else f"Found {counted(len(result.files), 'file')}"
    )
    summary += f" ({result.size:,} bytes) that no photograph names; {result.recent} recent ones are kept."
    hint = ["Remove them with --yes."] if result.files and not yes else []
    console.get_console().emit(document, [*tables, summary, *hint])


def _open_other(project: Project, url: str) -> "PhotoStore":
    """Return the store that a URL names.

    Raises:
        UsageError: It is invalid, or that of the project.
    """
    from lightmeter.store.urls import StoreUrl

    try:
        target = StoreUrl.parse(url).open(project.root, project.state / "cache" / "photographs", 0)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    if target.url == project.store.url:
        raise UsageError(f"{target} is the photo store of the project already; name another one.")
    return target


def _summary(document: dict[str, Any]) -> str:
    counts = {name: len(document[name]) for name in ("damaged", "missing", "orphans")}
    summary = (
        f"Checked {counted(document['checked'], 'file')}: "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
        + "."
    )
    if document["repaired"] and (counts["damaged"] or counts["missing"]):
        summary += " Download the lost photographs again with 'lightmeter harvest retry --reason store'."
    return summary


def _tables(document: dict[str, Any]) -> list[Any]:
    rows = [
        (fault, row["sha256"][:12], sighting["source"], sighting["source_id"])
        for fault in ("damaged", "missing")
        for row in document[fault]
        for sighting in row["sightings"] or [{"source": None, "source_id": None}]
    ]
    rows += [("orphan", name, None, None) for name in document["orphans"]]
    return [table("", ("fault", "file", "source", "photograph"), rows[:_MAX_SHOWN])] if rows else []
