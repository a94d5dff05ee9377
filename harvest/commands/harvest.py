"""``lightmeter harvest``: discover and download photographs."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import plugins
from lightmeter.errors import Interrupted, LightmeterError, UsageError
from lightmeter.harvest.commands import inspect, runs, watch
from lightmeter.project import find_project
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup, SuggestingGroup, command_group
from lightmeter.terminal.console import table
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.runs import RunResult, Simulation

_MAX_LISTED = 20
_FINAL_STATES = ("fetched", "skipped", "refused", "gone", "failed", "pending")

Limit = Annotated[int | None, typer.Option(min=1, help="Stop after this many new photographs.", rich_help_panel="Run")]
MetadataOnly = Annotated[
    bool, typer.Option("--metadata-only", help="Record metadata only; download nothing.", rich_help_panel="Run")
]
Require = Annotated[
    str,
    typer.Option(
        metavar="TAG,TAG",
        help="Keep only photographs with these EXIF fields: f_number (or FNumber), exposure_time_s, iso, "
        "focal_length_mm, focal_length_35mm, make, model …",
        rich_help_panel="Run",
    ),
]
Licences = Annotated[
    list[str] | None,
    typer.Option(
        "--licence",
        metavar="LICENCE",
        help="Only this licence, for example CC0 or CC-BY-4.0 (repeatable).",
        rich_help_panel="Run",
    ),
]


DiscoverOnly = Annotated[
    bool,
    typer.Option(
        "--discover-only", help="Leave the downloads to the workers of 'harvest work'.", rich_help_panel="Run"
    ),
]
Refresh = Annotated[
    bool,
    typer.Option(
        "--refresh", help="Download known photographs again and keep what has changed.", rich_help_panel="Run"
    ),
]


Simulate = Annotated[
    bool,
    typer.Option(
        "--simulate", help="List what would be downloaded; download and record nothing.", rich_help_panel="Run"
    ),
]


class _SourceCommands(SuggestingGroup):
    """One subcommand per installed source, imported when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(plugins.installed("sources"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        plugin = plugins.installed("sources").get(cmd_name)
        if plugin is None:
            return None
        from lightmeter.harvest.sources.registry import load_source

        try:
            source = load_source(plugin)
        except LightmeterError as error:
            return _broken_source_command(cmd_name, str(error))
        return _source_command(cmd_name, source)


app = command_group("Discover, download and inspect photographs.")
run = CommandGroup(cls=_SourceCommands, help="Harvest photographs from a source.", no_args_is_help=True)
app.add_typer(run, name="run")


@app.command()
def sources() -> None:
    """List the installed sources and their options."""
    from lightmeter.harvest.sources.registry import list_sources

    rows = list_sources()
    lines = [
        (row["name"], f"{row['origin']} {row['version']}", _readiness(row), " ".join(row["options"]), row["summary"])
        for row in rows
    ]
    console.get_console().emit(rows, table("", ("source", "package", "ready", "options", "summary"), lines))


@app.command()
def status() -> None:
    """Count the photographs of each run by state and reason."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.statistics import run_counts

    document = run_counts(open_engine(find_project()))
    console.get_console().emit(document, _status_tables(document))


@app.command()
def resume(
    run: Annotated[int | None, typer.Argument(help="Run number (default: latest unfinished run).")] = None,
) -> None:
    """Resume a stopped, killed or failed run."""
    from lightmeter.harvest.crawl.runs import resume_run

    _report(resume_run(find_project(), run))


@app.command()
def retry(
    reason: Annotated[
        str | None,
        typer.Option(help="Only failures whose reason starts with this; list reasons with 'harvest status'."),
    ] = None,
) -> None:
    """Retry failed photographs."""
    from lightmeter.harvest.crawl.runs import retry_failed

    _report(retry_failed(find_project(), reason))


@app.command()
def work(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of worker processes.")] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for new photographs when none is pending, until SIGTERM.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve metrics for Prometheus on this port; each further worker adds 1."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address for the metrics.")] = "127.0.0.1",
) -> None:
    """Download the pending photographs of all runs, beside workers on other machines.

    SIGTERM and Ctrl-C let a worker finish the photographs that it is downloading; it gives up the others.
    """
    from lightmeter.harvest.crawl import work as engine

    project = find_project()
    if workers == 1:
        metrics = None if metrics_port is None else (metrics_host, metrics_port)
        result = engine.work(project, wait=wait, metrics=metrics)
    else:
        shared = ["--wait"] if wait else []
        ports = [[] if metrics_port is None else ["--metrics-port", str(metrics_port + n)] for n in range(workers)]
        options = [[*shared, *port, "--metrics-host", metrics_host] for port in ports]
        result = engine.work_in_processes(project, workers, options)
    summary = ", ".join(f"{number} {state}" for state, number in result.counts.items()) or "no photographs"
    ends = {"finished": "Nothing is pending", "stopped": "Stopped; pending photographs are left to other workers"}
    document = {"state": result.state, "reason": result.reason, "photographs": dict(result.counts)}
    console.get_console().emit(document, f"{ends.get(result.state, 'Failed')}: {summary}.")
    if result.state == "failed":
        raise LightmeterError(f"The worker failed: {result.reason}.")


app.add_typer(runs.app)
app.add_typer(inspect.app)
app.add_typer(watch.app)


def _status_tables(document: dict[str, Any]) -> list[Any]:
    """Return tables of runs and reasons, without states that no photograph is in."""
    total = document["total"]
    columns = ("found", *_FINAL_STATES, "existing", "updated", "unreadable")
    states = [name for name in columns if total[name] or name in ("found", "fetched")]
    rows = [
        (run["run"], run["source"], _shown_state(run), *(run[state] for state in states)) for run in document["runs"]
    ]
    rows.append(("", "all", "", *(total[state] for state in states)))
    tables = [table("", ("run", "source", "state", *states), rows)]
    if document["workers"]:
        tables.append(_worker_table(document["workers"]))
    if total["reasons"]:
        reasons = [(row["state"], row["reason"], row["count"]) for row in total["reasons"]]
        tables.append(table("", ("state", "reason", "photographs"), reasons))
    if total["unreadable_records"]:
        unreadable = [(row["location"], row["reason"]) for row in total["unreadable_records"]]
        tables.append(table("", ("unreadable", "reason"), unreadable))
    return tables


def _worker_table(workers: list[dict[str, Any]]) -> Any:
    columns = ("worker", "state", "finished", "per s", "leased", "hosts", "heartbeat")
    rows = [
        (
            worker["process"],
            "active" if worker["active"] else "ended",
            worker["finished"],
            worker["rate"],
            worker["photographs"],
            worker["hosts"],
            f"{worker['heartbeat_age_s']:.0f} s ago",
        )
        for worker in workers
    ]
    return table("", columns, rows)


def _shown_state(run: dict[str, Any]) -> str:
    """Return the state of a run; a running one whose process has ended was killed."""
    return "killed" if run["state"] == "running" and not run["active"] else str(run["state"])


def _source_command(name: str, source: Any) -> Any:
    """Return the command of a source, with the fields of its query as options."""
    from lightmeter.harvest.sources.registry import with_options

    def command(  # noqa: PLR0913, PLR0917 - the options of a command
        query: dict[str, Any],
        limit: Limit = None,
        metadata_only: MetadataOnly = False,
        require: Require = "",
        licence: Licences = None,
        refresh: Refresh = False,
        simulate: Simulate = False,
        discover_only: DiscoverOnly = False,
    ) -> None:
        from lightmeter.harvest.workers.worker import prepare_processes

        if not (metadata_only or simulate):
            prepare_processes()
        from lightmeter.harvest.catalogue.items import RunOptions
        from lightmeter.harvest.crawl.runs import simulate_run, start_run
        from lightmeter.harvest.licences import normalise_licence

        licences = tuple(normalise_licence(name) or "" for name in licence or ())
        options = RunOptions(limit, metadata_only, _required_columns(require), licences, refresh)
        if simulate:
            _report_simulation(simulate_run(find_project(), name, query, options))
            return
        _report(start_run(find_project(), name, query, options, download=not discover_only))

    group = CommandGroup(add_completion=False)
    summary = f"{source.summary[:1].upper()}{source.summary[1:]}."
    group.command(name=name, help=summary, short_help=summary)(with_options(command, source.Query))
    return typer.main.get_command(group)


def _broken_source_command(name: str, message: str) -> Any:
    """Return a command that reports why a source cannot be imported."""
    group = CommandGroup(add_completion=False)

    @group.command(name=name, help="(cannot be imported)", context_settings={"ignore_unknown_options": True})
    def command(_args: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise LightmeterError(message)

    return typer.main.get_command(group)


def _required_columns(require: str) -> tuple[str, ...]:
    from lightmeter.harvest.exif.columns import EXIF_COLUMNS
    from lightmeter.harvest.exif.normalise import column_of

    columns = tuple(column_of(name.strip()) for name in require.split(",") if name.strip())
    for column in columns:
        if column not in EXIF_COLUMNS:
            raise UsageError(plugins.unknown_name_message("EXIF column", column, list(EXIF_COLUMNS)))
    return columns


def _report(result: "RunResult") -> None:
    """Print how a run ended, and raise the error for its exit code."""
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.statistics import run_counts

    counts = run_counts(open_engine(find_project()), result.run)["total"]
    summary = ", ".join(f"{counts[state]} {state}" for state in ("found", *_FINAL_STATES) if counts[state])
    existing = f"; {counts['existing']} already in the catalogue" if counts["existing"] else ""
    updated = f"; {counts['updated']} updated" if counts["updated"] else ""
    unreadable = f"; {counts['unreadable']} unreadable: see 'harvest status'" if counts["unreadable"] else ""
    repaired = f"; {result.repaired} damaged files of the store replaced" if result.repaired else ""
    title = f"Run {result.run}" if result.run else "All runs"
    console.get_console().emit(
        {"run": result.run, "state": result.state, "reason": result.reason, **counts, "repaired": result.repaired},
        f"{title} {result.state}: {summary or '0 found'}{existing}{updated}{unreadable}{repaired}.",
    )
    if result.state == "discovered":
        console.get_console().note("Download them with 'lightmeter harvest work'.")
    if result.state == "stopped":
        raise Interrupted("Stopped; completed downloads are saved. Resume with 'lightmeter harvest resume'.")
    if result.state == "failed":
        raise LightmeterError(f"The run failed: {result.reason}. Continue it with 'lightmeter harvest resume'.")
    kept = result.counts.get("fetched", 0) + result.counts.get("skipped", 0) + (counts["existing"] if result.run else 0)
    lost = sum(result.counts.get(state, 0) for state in ("refused", "gone", "failed")) + counts["unreadable"]
    if lost and not kept:
        raise LightmeterError("No photograph could be harvested; 'lightmeter harvest status' lists the reasons.")
    console.get_console().next_step("labels", "apply", "TARGET")


def _report_simulation(simulation: "Simulation") -> None:
    """Print what a run would download, and raise the error for its exit code."""
    result, photographs = simulation.result, simulation.photographs
    selected = [row for row in photographs if row["state"] is None and not row["existing"]]
    document = {
        "state": result.state,
        "reason": result.reason,
        "found": len(photographs),
        "existing": sum(row["existing"] for row in photographs),
        "selected": len(selected),
        "photographs": photographs,
        "unreadable": simulation.unreadable,
    }
    rows = [[row["media_url"], row["owner"], row["licence"]] for row in selected[:_MAX_LISTED]]
    excluded = Counter(
        f"{row['state']} ({row['reason']})" for row in photographs if row["state"] and not row["existing"]
    )
    counts = [f"{document['existing']} already in the catalogue"] * bool(document["existing"])
    counts += [f"{number} {reason}" for reason, number in excluded.most_common()]
    counts += [f"{len(simulation.unreadable)} unreadable"] * bool(simulation.unreadable)
    more = f" The first {_MAX_LISTED} are listed; --json lists all." if len(selected) > _MAX_LISTED else ""
    summary = (
        f"{counted(len(selected), 'photograph')} would be downloaded{''.join(f'; {count}' for count in counts)}.{more}"
    )
    console.get_console().emit(
        document, [*([table("", ("photograph", "owner", "licence"), rows)] if rows else []), summary]
    )
    if result.state == "stopped":
        raise Interrupted("Stopped.")
    if result.state == "failed":
        raise LightmeterError(f"The source failed: {result.reason}.")


def _readiness(row: dict[str, Any]) -> str:
    if row["problem"]:
        return "broken"
    return "yes" if row["ready"] else f"set {', '.join(row['missing_keys'])}"
