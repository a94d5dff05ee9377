"""Labels by hand, and labels to and from other programs."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.errors import UsageError
from lightmeter.labels.commands.options import Author, Where, catalogue

app = CommandGroup()

_LABEL = re.compile(r"[a-z][a-z0-9_-]*=")


@app.command(name="set")
def set_(
    words: Annotated[list[str], typer.Argument(metavar="PHOTO... TARGET=VALUE...", help="Photographs, then labels.")],
    author: Author = None,
) -> None:
    """Label photographs by hand; 'TARGET=' takes your earlier label back."""
    from lightmeter.labels.annotations.manual import author as somebody
    from lightmeter.labels.annotations.manual import set_labels
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    photographs = [word for word in words if not _LABEL.match(word) or Path(word).is_file()]
    pairs = [word.partition("=") for word in words if word not in photographs]
    if not photographs or not pairs:
        raise UsageError("Give at least one photograph and one TARGET=VALUE, such as p001.jpg medium=film.")
    values = {name: value or None for name, _, value in pairs}
    if len(values) < len(pairs):
        raise UsageError("Give each target once; several classes of one stand with '|' between them.")
    targets = {get_target(name, project): value for name, value in values.items()}
    with catalogue(project) as engine:
        hashes = set_labels(engine, photographs, targets, author or somebody())
    in_words = ", ".join(f"{name} = {value or '(taken back)'}" for name, value in values.items())
    console.get_console().emit(
        {"photographs": hashes, "labels": values}, f"{len(hashes)} photograph{'s' * (len(hashes) != 1)}: {in_words}"
    )


@app.command()
def show(
    photographs: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="A file, a SHA-256 or a name.")],
) -> None:
    """Show what is known of photographs and everything that was said of them."""
    from lightmeter.labels.annotations.manual import history, when
    from lightmeter.project import find_project

    with catalogue(find_project()) as engine, engine.connect() as connection:
        found = [history(connection, name) for name in photographs]
    parts: list[Any] = []
    for one in found:
        exif = ", ".join(f"{name} {value}" for name, value in one["exif"].items() if value is not None)
        names = ", ".join(str(seen["file"]) for seen in one["sightings"])
        rows = [
            ("●" if row["counts"] else "", row["target"], row["value"], row["origin"], row["author"], when(row))
            for row in one["labels"]
        ]
        parts += [
            f"{one['sha256']} ({names})\n{exif or 'no EXIF'}",
            console.table("", ("counts", "target", "class", "by", "who", "when"), rows),
        ]
    console.get_console().emit(found, parts)


@app.command()
def review(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="What to judge.")],
    where: Where = "",
    queue: Annotated[
        str, typer.Option(help="all, unjudged, no-face, disagreements (file and source) or suspects.")
    ] = "all",
    sample: Annotated[int | None, typer.Option(min=1, help="So many photographs, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any free one.")] = 0,
    author: Author = None,
) -> None:
    """Judge photographs from the keyboard, on a page that this machine alone can open."""
    from lightmeter.labels.annotations.manual import author as somebody
    from lightmeter.labels.review.queues import build_queue
    from lightmeter.labels.review.regions import crops_by_kind
    from lightmeter.labels.review.server import ReviewServer
    from lightmeter.labels.review.session import Session
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    target = get_target(name, project)
    with catalogue(project) as engine:
        with engine.connect() as connection:
            chosen = build_queue(connection, project, target.name, kind=queue, where=where, sample=sample, seed=seed)
        session = Session(engine, target, author or somebody(), crops_by_kind(project.settings))
        with ReviewServer(project, chosen, session, port) as server:
            console.get_console().emit({"url": server.url}, f"Open {server.url}\nCtrl-C ends; labels are kept at once.")
            with suppress(KeyboardInterrupt):
                server.serve_forever()


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write: .csv, or .json for Label Studio.")],
    target: Annotated[list[str] | None, typer.Option(help="Only labels of this target; may be repeated.")] = None,
    where: Where = "",
) -> None:
    """Write labels with their whole history, to read in another program or another project."""
    from lightmeter.labels.annotations.csv_io import export_csv
    from lightmeter.labels.annotations.label_studio import export_label_studio
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.labels.targets.registry import list_targets as all_targets
    from lightmeter.project import find_project

    project = find_project()
    names = [get_target(name, project).name for name in target] if target else list(all_targets(project))
    if file.suffix not in (".csv", ".json"):
        raise UsageError(f"{file} is neither .csv nor .json (Label Studio).")
    with catalogue(project) as engine, engine.connect() as connection:
        if file.suffix == ".csv":
            count = export_csv(connection, file, names, where)
        else:
            count = export_label_studio(connection, file, names, project.store.resolve(), where)
    console.get_console().emit({"file": file, "labels": count}, f"{count} labels: {file}")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .csv file, or Label Studio's .json export.", exists=True)],
    author: Author = None,
) -> None:
    """Add labels from a file; what is known already is not added again."""
    from lightmeter.labels.annotations.csv_io import import_labels
    from lightmeter.labels.annotations.manual import author as somebody
    from lightmeter.labels.targets.registry import list_targets as all_targets
    from lightmeter.project import find_project

    project = find_project()
    known = {name: entry.target for name, entry in all_targets(project).items()}
    with catalogue(project) as engine:
        outcome = import_labels(engine, file, known, author or somebody())
    console.get_console().emit(
        vars(outcome),
        f"{outcome.added} labels added, {outcome.known} known already, {outcome.strangers} about photographs that the "
        "catalogue does not have.",
    )
