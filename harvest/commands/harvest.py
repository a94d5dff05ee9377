"""Finding and fetching."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lightmeter import console, plugins
from lightmeter.commands import CommandGroup
from lightmeter.console import table
from lightmeter.errors import Interrupted, LightmeterError, UsageError

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.runs import RunResult

app = CommandGroup()

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


run = CommandGroup(cls=_Sources, help="Ask a source and fetch what it finds.", no_args_is_help=True)
app.add_typer(run, name="run")


@app.command()
def sources() -> None:
    """List the installed sources and their options."""
    from lightmeter.harvest.sources.registry import list_sources

    rows = list_sources()
    console.get_console().emit(
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
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.catalogue.statistics import run_counts
    from lightmeter.project import find_project

    document = run_counts(open_engine(find_project()))
    console.get_console().emit(document, _status_tables(document))


@app.command()
def resume(
    run: Annotated[int | None, typer.Argument(help="Number of the run; else the newest unfinished.")] = None,
) -> None:
    """Go on with a run that was stopped, killed or failed."""
    from lightmeter.harvest.crawl.runs import resume_run
    from lightmeter.project import find_project

    _report(resume_run(find_project(), run))


@app.command()
def retry(
    where: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Only those whose reason begins so; see 'harvest status'."),
    ] = None,
) -> None:
    """Try failed photographs once more."""
    from lightmeter.harvest.crawl.runs import retry_failed
    from lightmeter.project import find_project

    _report(retry_failed(find_project(), where))


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
    from lightmeter.harvest.sources.registry import with_options

    def command(
        query: dict[str, Any],
        limit: Limit = None,
        metadata_only: MetadataOnly = False,
        require: Require = "",
        licence: Licences = None,
    ) -> None:
        from lightmeter.harvest.catalogue.items import RunOptions
        from lightmeter.harvest.crawl.runs import start_run
        from lightmeter.harvest.licences import normalise_licence
        from lightmeter.project import find_project

        licences = tuple(normalise_licence(one) or "" for one in licence or ())
        options = RunOptions(limit, metadata_only, _columns(require), licences)
        _report(start_run(find_project(), name, query, options))

    single = CommandGroup(add_completion=False)
    single.command(name=name, help=f"{source.summary[:1].upper()}{source.summary[1:]}.")(
        with_options(command, source.Query)
    )
    return typer.main.get_command(single)


def _broken(name: str, sentence: str) -> Any:
    single = CommandGroup(add_completion=False)

    @single.command(name=name, help="(cannot be imported)", context_settings={"ignore_unknown_options": True})
    def command(_words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise LightmeterError(sentence)

    return typer.main.get_command(single)


def _columns(require: str) -> tuple[str, ...]:
    from dataclasses import fields

    from lightmeter.harvest.exif import ExifValues, column_of

    known = [field.name for field in fields(ExifValues)]
    wanted = [column_of(word.strip()) for word in require.split(",") if word.strip()]
    for word in wanted:
        if word not in known:
            raise UsageError(plugins.unknown_name_message("EXIF column", word, known))
    return tuple(wanted)


def _report(ended: "RunResult") -> None:
    """Print how a run ended; raise what its exit code needs."""
    from lightmeter.harvest.catalogue.session import open_engine
    from lightmeter.harvest.catalogue.statistics import run_counts
    from lightmeter.project import find_project

    document = run_counts(open_engine(find_project()), ended.run)
    counts = document["total"]
    said = ", ".join(
        f"{counts[state]} {state}"
        for state in ("fetched", "skipped", "refused", "gone", "failed", "pending")
        if counts[state]
    )
    known = f"; {counts['existing']} already in the catalogue" if counts["existing"] else ""
    title = f"Run {ended.run}" if ended.run else "All runs"
    console.get_console().emit(
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
