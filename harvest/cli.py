"""``lightmeter harvest``: find photographs, fetch them, look at them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lightmeter import console, plugins
from lightmeter.commands import Group, group
from lightmeter.console import table
from lightmeter.errors import Interrupted, LightmeterError, UsageError

if TYPE_CHECKING:
    from harvest.crawl.run import Ended

app = group("Find photographs, fetch them byte for byte, look at them.")

Limit = Annotated[int | None, typer.Option(min=1, help="Find so many new photographs at most.", rich_help_panel="Run")]
MetadataOnly = Annotated[
    bool, typer.Option("--metadata-only", help="Record what is found; fetch nothing.", rich_help_panel="Run")
]
Require = Annotated[
    str,
    typer.Option(
        metavar="TAG,TAG",
        help="Keep only photographs whose EXIF has these: f_number (or FNumber), exposure_time_s, iso, "
        "focal_length_mm, focal_length_35mm, make, model …",
        rich_help_panel="Run",
    ),
]
Licences = Annotated[
    list[str] | None,
    typer.Option(
        "--licence", help="Take only this licence, as in CC0 or CC-BY-4.0; may be repeated.", rich_help_panel="Run"
    ),
]


class _Sources(TyperGroup):
    """One sub-command for each installed source, imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(plugins.installed("sources"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in plugins.installed("sources"):
            return None
        try:
            source = plugins.get("sources", cmd_name).load()
        except LightmeterError as error:
            return _broken(cmd_name, str(error))
        return _command_of(cmd_name, source)


run = Group(cls=_Sources, help="Ask a source and fetch what it finds.", no_args_is_help=True)
app.add_typer(run, name="run")


@app.command()
def sources() -> None:
    """List the installed sources and their options."""
    from harvest.sources.listing import list_sources

    rows = list_sources()
    console.current().emit(
        rows,
        table(
            "",
            ("source", "from", "ready", "options", "what it takes photographs from"),
            [
                (
                    row["name"],
                    f"{row['origin']} {row['version']}",
                    _readiness(row),
                    " ".join(row["options"]),
                    row["summary"],
                )
                for row in rows
            ],
        ),
    )


@app.command()
def status() -> None:
    """Count the sightings of each run by state, with reasons."""
    from harvest.catalogue.queries import run_counts
    from harvest.catalogue.session import open_catalogue
    from lightmeter.project import find

    document = run_counts(open_catalogue(find()))
    console.current().emit(document, _status_tables(document))


@app.command()
def resume(
    run: Annotated[int | None, typer.Argument(help="Number of the run; else the newest unfinished.")] = None,
) -> None:
    """Go on with a run that was stopped, killed or failed."""
    from harvest.crawl.run import resume_run
    from lightmeter.project import find

    _report(resume_run(find(), run))


@app.command()
def retry(
    where: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Only those whose reason begins so; see 'harvest status'."),
    ] = None,
) -> None:
    """Try failed photographs once more."""
    from harvest.crawl.run import retry_failed
    from lightmeter.project import find

    _report(retry_failed(find(), where))


@app.command()
def inspect(
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="NAME", help="Only this filter; may be repeated.")
    ] = None,
    where: Annotated[str | None, typer.Option(metavar="QUERY", help="Only photographs that answer to a query.")] = None,
) -> None:
    """Look again: decode what a filter has not seen yet, judge the rest by the settings of the day."""
    from harvest.catalogue.session import open_catalogue
    from harvest.catalogue.where import parse_where
    from harvest.crawl.workers import Workers
    from harvest.inspect import Plan
    from harvest.reinspection import count, reinspect
    from lightmeter.project import find

    project = find()
    settings = project.settings.inspect
    plan = Plan.of(project.settings, filters)
    engine, chosen = open_catalogue(project), parse_where(where) if where else None
    workers = Workers(settings.workers, settings.timeout_s)
    try:
        with console.current().progress() as progress:
            task = progress.add_task("looking again", total=count(engine, chosen))
            done = reinspect(
                engine, project.store, plan, workers, where=chosen, advance=lambda n: progress.advance(task, n)
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
    console.current().emit(document, said + failed)
    if done.stopped:
        raise Interrupted("Stopped; what is done stays done. Go on with 'lightmeter harvest inspect'.")


@app.command("contact-sheet")
def contact_sheet(
    name: Annotated[str, typer.Option("--filter", metavar="NAME", help="Filter to look at.")],
    where: Annotated[str | None, typer.Option(metavar="QUERY", help="Only photographs that answer to a query.")] = None,
    each: Annotated[int, typer.Option(min=1, max=500, help="Photographs shown of either kind, at most.")] = 20,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="contact-sheet-NAME.jpg")] = None,
) -> None:
    """Write a picture of what a filter kept and dropped, with its measures."""
    from harvest.catalogue.session import open_catalogue
    from harvest.catalogue.where import parse_where
    from harvest.contact_sheet import contact_sheet as write
    from lightmeter.project import find

    plugins.get("filters", name)
    project, target = find(), out or Path(f"contact-sheet-{name}.jpg")
    chosen = parse_where(where) if where else None
    counts = write(open_catalogue(project), project.store, target, name, where=chosen, each=each)
    console.current().emit(
        {"file": target.absolute(), **counts}, f"{counts['keep']} kept, {counts['drop']} dropped: see {target}."
    )


@app.command()
def crops(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    kind: Annotated[str, typer.Option(help="Regions to cut out: face, inside (of a frame).")] = "face",
    margin: Annotated[float, typer.Option(min=0, max=5, help="On each side, as a share of the longer side.")] = 0.3,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Leave out regions below.")] = 0.8,
    where: Annotated[str | None, typer.Option(metavar="QUERY", help="Only photographs that answer to a query.")] = None,
) -> None:
    """Cut faces, or what lies inside frames, out of their photographs."""
    from harvest.catalogue.session import open_catalogue
    from harvest.catalogue.where import parse_where
    from harvest.crops import Wanted, write_crops
    from lightmeter.project import find

    project, chosen = find(), parse_where(where) if where else None
    with console.current().progress() as progress:
        task = progress.add_task("cutting", total=None)
        wanted = Wanted(kind, margin, min_score, chosen)
        number = write_crops(
            open_catalogue(project), project.store, folder, wanted, lambda n: progress.advance(task, n)
        )
    console.current().emit({"folder": folder.absolute(), "crops": number}, f"{number} crops written to {folder}.")


def _status_tables(document: dict[str, Any]) -> list[Any]:
    """Return runs and reasons to read; a state that no sighting is in has no column."""
    total = document["total"]
    always = ("found", "fetched")
    states = [state for state, number in total.items() if isinstance(number, int) and (number or state in always)]
    lines = [(run["run"], run["source"], run["state"], *(run[state] for state in states)) for run in document["runs"]]
    whole = ("", "all", "", *(total[state] for state in states))
    shown = [table("", ("run", "source", "ended", *states), [*lines, whole])]
    if total["reasons"]:
        reasons = [(row["state"], row["reason"], row["count"]) for row in total["reasons"]]
        shown.append(table("", ("state", "reason", "sightings"), reasons))
    return shown


def _command_of(name: str, source: Any) -> Any:
    from harvest.sources.options import with_options

    def command(
        query: dict[str, Any],
        limit: Limit = None,
        metadata_only: MetadataOnly = False,
        require: Require = "",
        licence: Licences = None,
    ) -> None:
        from harvest.crawl.job import Options
        from harvest.crawl.run import start_run
        from harvest.licences import normalise
        from lightmeter.project import find

        licences = tuple(normalise(one) or "" for one in licence or ())
        options = Options(limit, metadata_only, _columns(require), licences)
        _report(start_run(find(), name, query, options))

    single = Group(add_completion=False)
    single.command(name=name, help=f"{source.summary[:1].upper()}{source.summary[1:]}.")(
        with_options(command, source.Query)
    )
    return typer.main.get_command(single)


def _broken(name: str, sentence: str) -> Any:
    single = Group(add_completion=False)

    @single.command(name=name, help="(cannot be imported)", context_settings={"ignore_unknown_options": True})
    def command(_words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise LightmeterError(sentence)

    return typer.main.get_command(single)


def _columns(require: str) -> tuple[str, ...]:
    from dataclasses import fields

    from harvest.exif import ExifValues, column_of

    known = [field.name for field in fields(ExifValues)]
    wanted = [column_of(word.strip()) for word in require.split(",") if word.strip()]
    for word in wanted:
        if word not in known:
            raise UsageError(plugins.unknown("EXIF column", word, known))
    return tuple(wanted)


def _report(ended: "Ended") -> None:
    """Print how a run ended; raise what its exit code needs."""
    from harvest.catalogue.queries import run_counts
    from harvest.catalogue.session import open_catalogue
    from lightmeter.project import find

    document = run_counts(open_catalogue(find()), ended.run)
    counts = document["total"]
    said = ", ".join(
        f"{counts[state]} {state}"
        for state in ("fetched", "skipped", "refused", "gone", "failed", "pending")
        if counts[state]
    )
    known = f"; {counts['known']} were known already" if counts["known"] else ""
    title = f"Run {ended.run}" if ended.run else "All runs"
    console.current().emit(
        {"run": ended.run, "state": ended.state, "reason": ended.reason, **counts},
        f"{title} {ended.state}: {counts['found']} found{': ' if said else ''}{said}{known}.",
    )
    if ended.state == "stopped":
        raise Interrupted("Stopped; nothing is lost. Go on with 'lightmeter harvest resume'.")
    if ended.state == "failed":
        raise LightmeterError(
            f"The source could not be harvested: {ended.reason}. 'lightmeter harvest resume' tries again."
        )


def _readiness(row: dict[str, Any]) -> str:
    if row["problem"]:
        return "broken"
    return "yes" if row["ready"] else f"set {', '.join(row['missing_keys'])}"
