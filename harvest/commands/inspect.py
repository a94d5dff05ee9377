"""``lightmeter harvest``: inspect downloaded photographs and use the results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import plugins
from lightmeter.errors import Interrupted, LightmeterError, UsageError
from lightmeter.executors.options import Address, ExecutorName, ExecutorOption, check_address
from lightmeter.harvest.commands.options import Where, progress_bar
from lightmeter.project import Project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.executors.base import Executor

app = CommandGroup()

_MAX_SHOWN = 200
_PARTITION_S = 3600.0


@app.command()
def inspect(
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME",
            help="Only this filter (repeatable).",
            autocompletion=completion.plugin_names("filters"),
        ),
    ] = None,
    where: Where = "",
    executor: ExecutorOption = "local",
    address: Address = None,
) -> None:
    """Re-run filters: decode new images, re-evaluate the rest with current settings."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of
    from lightmeter.harvest.filters.pipeline import InspectionPlan
    from lightmeter.harvest.filters.rescan import rescan
    from lightmeter.harvest.store.check import count_images

    check_address(executor, address)
    project = find_project()
    plan = InspectionPlan.from_settings(project.settings, filters)
    engine, condition = open_engine(project), condition_of(where)
    with (
        _open_executor(project, executor, address) as running,
        progress_bar("inspecting", None if where else count_images(engine)) as on_progress,
    ):
        result = rescan(engine, project.store, plan, running, where=condition, on_progress=on_progress)
    document = {
        "photographs": result.photographs,
        "decoded": result.decoded,
        "changed": result.changed,
        "failed": dict(result.failed),
    }
    failures = [f"{number} failed: {reason}" for reason, number in result.failed.items()]
    photographs, verdicts = counted(result.photographs, "photograph"), counted(result.changed, "verdict")
    summary = f"{photographs}: {result.decoded} decoded, {verdicts} changed."
    console.get_console().emit(document, [summary, *failures])
    if result.stopped:
        raise Interrupted("Stopped; completed results are saved. Resume with 'lightmeter harvest inspect'.")
    if result.failed and result.failed.total() == result.photographs:
        raise LightmeterError("No photograph could be inspected.")


@app.command("contact-sheet")
def contact_sheet(
    name: Annotated[str, typer.Option("--filter", metavar="NAME", help="Filter to show.")],
    where: Where = "",
    per_verdict: Annotated[int, typer.Option(min=1, max=500, help="Maximum photographs per verdict.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Output file: .jpg or .png.", show_default="contact-sheet-NAME.jpg")
    ] = None,
) -> None:
    """Create a contact sheet of kept and dropped photographs with their measures."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of
    from lightmeter.harvest.filters.contact_sheet import write_contact_sheet

    plugins.get("filters", name)
    project, file = find_project(), out or Path(f"contact-sheet-{name}.jpg")
    counts = write_contact_sheet(
        open_engine(project), project.store, file, name, where=condition_of(where), per_verdict=per_verdict
    )
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    console.get_console().emit(
        {"file": file.absolute(), **counts}, f"{counts['keep']} kept, {counts['drop']} dropped{failed}: see {file}."
    )


@app.command()
def duplicates(
    radius: Annotated[
        int, typer.Option(min=0, max=7, help="Maximum Hamming distance between perceptual hashes (of 64 bits).")
    ] = 4,
    where: Where = "",
    executor: ExecutorOption = "local",
    address: Address = None,
) -> None:
    """List groups of near-duplicate photographs of all sources; the suggested original comes first."""
    from dataclasses import asdict

    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of
    from lightmeter.harvest.duplicates.groups import near_duplicates
    from lightmeter.harvest.duplicates.partitions import group_hashes

    check_address(executor, address)
    project = find_project()
    with _open_executor(project, executor, address, timeout_s=_PARTITION_S) as running:

        def grouping(hashes: Any, radius: int) -> Any:
            return group_hashes(hashes, radius, running, project.state / "cache" / "duplicates")

        groups = near_duplicates(open_engine(project), radius, condition_of(where), grouping)
    document = [[asdict(member) for member in group] for group in groups]
    console.get_console().emit(document, _duplicate_tables(groups) if groups else "No near-duplicate photographs.")


@app.command()
def crops(
    folder: Annotated[Path, typer.Argument(help="Output folder.")],
    kind: Annotated[str, typer.Option(help="Kind of region: face or inside (of a frame).")] = "face",
    margin: Annotated[
        float, typer.Option(min=0, max=5, help="Margin on each side, as a fraction of the longer side.")
    ] = 0.3,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Minimum score of a region.")] = 0.8,
    where: Where = "",
) -> None:
    """Crop faces or the insides of frames from photographs."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.query.parser import condition_of
    from lightmeter.harvest.catalogue.regions import region_kinds
    from lightmeter.harvest.filters.crops import CropOptions, write_crops

    project, options = find_project(), CropOptions(kind, margin, min_score, condition_of(where))
    engine = open_engine(project)
    kinds = region_kinds(engine)
    if kind not in kinds:
        raise UsageError(plugins.unknown_name_message("kind of region", kind, kinds))
    with progress_bar("cropping", None) as on_progress:
        number = write_crops(engine, project.store, folder, options, on_progress)
    console.get_console().emit(
        {"folder": folder.absolute(), "crops": number}, f"Wrote {counted(number, 'crop')} to {folder}."
    )
    if not number:
        raise LightmeterError(f"No photograph has a {kind} with a score of at least {min_score:g}.")


def _open_executor(
    project: Project, name: ExecutorName, address: str | None, timeout_s: float | None = None
) -> "Executor":
    """Return the executor of the options.

    Args:
        project: The project.
        name: Name of the executor.
        address: Address of a Ray cluster.
        timeout_s: Time limit of an item on this machine (default: that of photographs).
    """
    if name == "ray":
        from lightmeter.executors.ray import RayExecutor

        return RayExecutor(address)
    from lightmeter.executors.local import LocalExecutor
    from lightmeter.harvest.workers.pool import WorkerPool

    return LocalExecutor(WorkerPool.of_project(project, timeout_s))


def _duplicate_tables(groups: list[list[Any]]) -> list[Any]:
    rows = [
        (
            number if index == 0 else "",
            member.sha256[:12],
            f"{member.width} × {member.height}",
            f"{member.file_size:,}",
            member.distance,
            ", ".join(member.sources),
            member.file or "",
        )
        for number, members in enumerate(groups, 1)
        for index, member in enumerate(members)
    ]
    columns = ("group", "photograph", "pixels", "bytes", "Hamming distance", "source", "file")
    more = f" Showing {_MAX_SHOWN}; use --json for all." if len(rows) > _MAX_SHOWN else ""
    summary = f"{counted(len(rows), 'photograph')} in {counted(len(groups), 'group')}.{more}"
    return [console.table("", columns, rows[:_MAX_SHOWN]), summary]
