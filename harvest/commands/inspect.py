"""Looking at what was fetched."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lightmeter import console, plugins
from lightmeter.commands import CommandGroup
from lightmeter.errors import Interrupted

app = CommandGroup()

_SHOWN = 200

Where = Annotated[str | None, typer.Option(metavar="QUERY", help="Only photographs that answer to a query.")]


@app.command()
def inspect(
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="NAME", help="Only this filter; may be repeated.")
    ] = None,
    where: Where = None,
) -> None:
    """Look again: decode what a filter has not seen yet, judge the rest by the settings of the day."""
    from lightmeter.harvest.catalogue.query.parser import parse_where
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.crawl.worker_pool import WorkerPool
    from lightmeter.harvest.filters import InspectionPlan
    from lightmeter.harvest.filters.rescan import count, rescan
    from lightmeter.project import find_project

    project = find_project()
    settings = project.settings.inspect
    plan = InspectionPlan.from_settings(project.settings, filters)
    engine, chosen = open_engine(project), parse_where(where) if where else None
    workers = WorkerPool(settings.workers, settings.timeout_s, project.logs / "workers.log")
    try:
        with console.get_console().progress() as progress:
            task = progress.add_task("looking again", total=count(engine, chosen))
            done = rescan(
                engine, project.store, plan, workers, where=chosen, on_progress=lambda n: progress.advance(task, n)
            )
    finally:
        workers.close()
    document = {
        "photographs": done.photographs,
        "decoded": done.decoded,
        "changed": done.changed,
        "failed": dict(done.failed),
    }
    failed = "".join(f"\n{number} failed: {reason}" for reason, number in done.failed.items())
    said = f"{done.photographs} photographs: {done.decoded} decoded, {done.changed} verdicts changed."
    console.get_console().emit(document, said + failed)
    if done.stopped:
        raise Interrupted("Stopped; what is done stays done. Go on with 'lightmeter harvest inspect'.")


@app.command("contact-sheet")
def contact_sheet(
    name: Annotated[str, typer.Option("--filter", metavar="NAME", help="Filter to look at.")],
    where: Where = None,
    each: Annotated[int, typer.Option(min=1, max=500, help="Photographs shown of either kind, at most.")] = 20,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="contact-sheet-NAME.jpg")] = None,
) -> None:
    """Write a picture of what a filter kept and dropped, with its measures."""
    from lightmeter.harvest.catalogue.query.parser import parse_where
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.filters.contact_sheet import write_contact_sheet
    from lightmeter.project import find_project

    plugins.get("filters", name)
    project, target = find_project(), out or Path(f"contact-sheet-{name}.jpg")
    chosen = parse_where(where) if where else None
    counts = write_contact_sheet(open_engine(project), project.store, target, name, where=chosen, per_verdict=each)
    console.get_console().emit(
        {"file": target.absolute(), **counts}, f"{counts['keep']} kept, {counts['drop']} dropped: see {target}."
    )


@app.command()
def duplicates(
    radius: Annotated[
        int, typer.Option(min=0, max=7, help="Bits of 64 in which two perceptual hashes may differ.")
    ] = 4,
    where: Where = None,
) -> None:
    """List photographs that show the same picture, whatever source they came from; the one to keep comes first."""
    from dataclasses import asdict

    from lightmeter.harvest.catalogue.query.parser import parse_where
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.filters.near_duplicates import near_duplicates
    from lightmeter.project import find_project

    groups = near_duplicates(open_engine(find_project()), radius, parse_where(where) if where else None)
    rows = [
        (
            number if place == 0 else "",
            copy.sha256[:12],
            f"{copy.width} × {copy.height}",
            f"{copy.file_size:,}",
            copy.distance,
            ", ".join(copy.sources),
            copy.file or "",
        )
        for number, copies in enumerate(groups, 1)
        for place, copy in enumerate(copies)
    ]
    columns = ("group", "photograph", "pixels", "bytes", "bits apart", "source", "file")
    more = f" {_SHOWN} are shown, --json gives all." if len(rows) > _SHOWN else ""
    shown: list[Any] = [
        console.table("", columns, rows[:_SHOWN]),
        f"{len(rows)} photographs are {len(groups)} pictures.{more}",
    ]
    document = [[asdict(copy) for copy in copies] for copies in groups]
    console.get_console().emit(document, shown if groups else "No two photographs show the same picture.")


@app.command()
def crops(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    kind: Annotated[str, typer.Option(help="Regions to cut out: face, inside (of a frame).")] = "face",
    margin: Annotated[float, typer.Option(min=0, max=5, help="On each side, as a share of the longer side.")] = 0.3,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Leave out regions below.")] = 0.8,
    where: Where = None,
) -> None:
    """Cut faces, or what lies inside frames, out of their photographs."""
    from lightmeter.harvest.catalogue.query.parser import parse_where
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.filters.crops import CropOptions, write_crops
    from lightmeter.project import find_project

    project, chosen = find_project(), parse_where(where) if where else None
    with console.get_console().progress() as progress:
        task = progress.add_task("cutting", total=None)
        wanted = CropOptions(kind, margin, min_score, chosen)
        number = write_crops(open_engine(project), project.store, folder, wanted, lambda n: progress.advance(task, n))
    console.get_console().emit({"folder": folder.absolute(), "crops": number}, f"{number} crops written to {folder}.")
