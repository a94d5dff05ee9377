"""Commands for archives, and the list of archives and servers."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.commands.options import Engine, RunFolder, TrainingData
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup, Force, Yes, check_unused, confirm_removal

if TYPE_CHECKING:
    from lightmeter.project import Project

app = CommandGroup()


@app.command()
def archive(
    run: RunFolder,
    name: Annotated[str | None, typer.Option(help="Model name (default: the run's).")] = None,
    version: Annotated[str | None, typer.Option(help="Model version (default: the run's).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder or .mar file (default: archives/ of the project).")
    ] = None,
    engine: Engine = None,
    data: TrainingData = None,
) -> None:
    """Package a run as a TorchServe archive (.mar)."""
    from lightmeter.models.training.distributed import select_engine
    from lightmeter.models.training.runs import find_run
    from lightmeter.serve.archive import write_archive

    selected, _ = select_engine(engine, "cpu")
    written = write_archive(find_run(run), out or find_project().archives, name, version, selected, data)
    agreement = written.agreement
    console.get_console().emit(
        {
            "archive": written.path,
            "name": written.name,
            "version": written.version,
            "dataset": written.dataset,
            "bytes": written.path.stat().st_size,
            "sha256": written.sha256,
            "engine": written.engine,
            **({"agreement": vars(agreement)} if agreement else {}),
        },
        [
            f"{written.name} {written.version} in {written.path}",
            *([agreement.as_sentence()] if agreement else []),
        ],
    )
    if out is None:
        console.get_console().next_step("serve", *_command_for(find_project(), written.path))


@app.command(name="list")
def list_() -> None:
    """List the archives and the servers of the project."""
    from lightmeter.serve.inventory import list_archives, list_servers

    project = find_project()
    archives, servers = list_archives(project), list_servers(project)
    archive_rows = [
        (row["name"], row["version"], f"{row['bytes'] / 1e6:.1f} MB", ", ".join(row["served_by"]), row["problem"])
        for row in archives
    ]
    server_rows = [
        (row["name"], "running" if row["running"] else "stopped", ", ".join(row["models"])) for row in servers
    ]
    tables = [
        console.table("Archives", ("archive", "version", "size", "served by", "problem"), archive_rows),
        console.table("Servers", ("server", "state", "models"), server_rows),
    ]
    none = "No archives and no servers; create an archive with 'lightmeter serve archive RUN'."
    shown = [table for table in tables if table.row_count]
    console.get_console().emit({"archives": archives, "servers": servers}, shown or none)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of an archive.", autocompletion=completion.archives)] = "",
    server: Annotated[
        str, typer.Option("--server", help="Stopped server to remove instead.", autocompletion=completion.servers)
    ] = "",
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Remove an archive of the project, or the settings and logs of a stopped server; runs are kept."""
    from lightmeter.serve.inventory import list_archives, list_servers, remove_server

    project = find_project()
    if bool(name) == bool(server):
        raise UsageError("Name an archive, or a server with --server.")
    if server:
        servers = {row["name"]: row for row in list_servers(project)}
        if server not in servers:
            raise UsageError(unknown_name_message("server", server, list(servers)))
        if servers[server]["running"]:
            raise UsageError(f"Server '{server}' is running; stop it with 'lightmeter serve stop --server {server}'.")
        confirm_removal(f"the settings and logs of the server {server}", yes=yes)
        remove_server(project, server)
        console.get_console().emit({"removed": server}, f"Removed the server {server}.")
        return
    archives = {row["name"]: row for row in list_archives(project)}
    name = Path(name).name.removesuffix(".mar")
    if name not in archives:
        raise UsageError(unknown_name_message("archive", name, list(archives)))
    check_unused(f"The archive {name}", [f"the server {user}" for user in archives[name]["served_by"]], force=force)
    confirm_removal(f"the archive {archives[name]['path']}", yes=yes)
    Path(archives[name]["path"]).unlink()
    console.get_console().emit({"removed": name}, f"Removed the archive {name}.")


def _command_for(project: "Project", archive: Path) -> list[str]:
    """Return the command that serves a new archive: a rollout where the main server serves another version of it."""
    from lightmeter.serve.torchserve.processes import running_state
    from lightmeter.serve.torchserve.state import server_directory

    with suppress(LightmeterError):
        models = running_state(server_directory(project, "main")).models
        if any(model.name == archive.stem for model in models):
            return ["rollout", archive.stem]
    return ["start"]
