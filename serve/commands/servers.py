"""Commands for TorchServe servers."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import find_project
from lightmeter.serve.commands.options import ArchiveArgument, ServerOption, find_archive, server_directory_of
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup

if TYPE_CHECKING:
    from lightmeter.project import Project
    from lightmeter.serve.torchserve.state import ServerDirectory

app = CommandGroup()


@app.command()
def start(
    archives: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MAR", help="Archives (default: all of the project).", autocompletion=completion.archives
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of predictions (0: that of the settings, or any free port).")
    ] = 0,
    model_api: Annotated[bool, typer.Option("--model-api", help="Allow 'serve rollout' to add models.")] = False,
    python: Annotated[Path | None, typer.Option(help="Python interpreter for the workers (default: current).")] = None,
    server: ServerOption = "main",
) -> None:
    """Start TorchServe and wait until its models are ready."""
    from lightmeter.serve.torchserve.server import StartOptions
    from lightmeter.serve.torchserve.server import start as start_server
    from lightmeter.serve.torchserve.state import server_directory

    current = find_project()
    paths = [find_archive(current, path) for path in archives] if archives else _all_archives(current)
    console.get_console().note(f"Starting TorchServe with {len(paths)} archive(s) …")
    state = start_server(current, paths, StartOptions(server, port, model_api, python or Path(sys.executable)))
    directory = server_directory(current, server)
    model = state.models[0].name
    curl = (
        f'curl -H "Authorization: Bearer $(python -c \'import json; print(json.load(open("{directory.keys}"))'
        f'["inference"]["key"])\')" --data-binary @PHOTO.jpg {state.inference}/predictions/{model}'
    )
    next_steps = [f"Next: lightmeter serve predict {model} PHOTO.jpg", "or:   lightmeter serve demo", f"or:   {curl}"]
    document = _status(directory)
    console.get_console().emit({**document, "curl": curl}, [_models_table(document), *next_steps])


@app.command()
def restart(server: ServerOption = "main") -> None:
    """Stop a server and start it again with the same archives and address, and the current settings."""
    from lightmeter.serve.torchserve.server import restart as restart_server

    directory = server_directory_of(server)
    restart_server(find_project(), directory)
    document = _status(directory)
    console.get_console().emit(document, _models_table(document))


@app.command()
def status(
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Only this server (default: all of the project).", autocompletion=completion.servers
        ),
    ] = None,
) -> None:
    """Show every server of the project: models, addresses, logs and tokens; exit with 1 if none is running."""
    servers = sorted(completion.servers(""), key=lambda name: (name != "main", name)) or ["main"]
    names = servers if server is None else [server]
    documents = [_status_or_problem(name) for name in names]
    running = [document for document in documents if document["running"]]
    problems = [document["problem"] for document in documents if "problem" in document]
    if problems and not running:
        raise LightmeterError(problems[0])
    shown = [part for document in running for part in (_models_table(document), _address_table(document))]
    stopped = [
        document.get("problem", f"Server '{document['server']}' is not running.")
        for document in documents
        if not document["running"]
    ]
    console.get_console().emit((running or documents)[0] | {"servers": documents}, [*shown, *stopped])
    if not running:
        raise typer.Exit(1)


@app.command()
def token(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new token; the old one is refused from now on.")
    ] = False,
) -> None:
    """Print the token that never expires, for clients of this project's servers; --rotate makes the first one, too."""
    from lightmeter.credentials import read_private
    from lightmeter.serve.gateway.tokens import rotate_key

    project = find_project()
    settings = project.settings.serve
    file = project.root / settings.token_file
    if rotate:
        value = rotate_key(file)
    elif settings.token:
        value = settings.token.get_secret_value()
    elif file.is_file():
        value = read_private(file)
    else:
        raise UsageError("There is no token that never expires; make one with 'lightmeter serve token --rotate'.")
    console.get_console().emit({"token": value, "file": file}, value)
    if rotate and settings.token:
        console.get_console().note("The token in LIGHTMETER_SERVE__TOKEN stays valid beside the new one.")


@app.command()
def rollout(
    archive: ArchiveArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Keep serving the old version as well.")] = False,
    server: ServerOption = "main",
) -> None:
    """Replace a served version without downtime."""
    from lightmeter.serve.torchserve.rollout import rollout as roll_out

    current, directory = find_project(), server_directory_of(server)
    roll_out(directory, current.settings.serve, find_archive(current, archive), keep=keep)
    document = _status(directory)
    console.get_console().emit(document, _models_table(document))


@app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of lines.")] = 40,
    access: Annotated[bool, typer.Option("--access", help="Show requests instead of messages.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines until Ctrl-C.")] = False,
    server: ServerOption = "main",
) -> None:
    """Show the last lines of a server's log, even after it was stopped."""
    from lightmeter.serve.torchserve.diagnosis import follow as follow_log
    from lightmeter.serve.torchserve.diagnosis import last_lines

    if follow and console.get_console().json:
        raise UsageError("--follow never ends, and --json prints one document; leave one of them out.")
    directory = server_directory_of(server)
    text = last_lines(directory, lines, access=access)
    console.get_console().emit({"server": server, "lines": text}, text)
    with suppress(KeyboardInterrupt):
        for line in follow_log(directory, access=access) if follow else ():
            console.get_console().emit(line, line)
            sys.stdout.flush()


@app.command()
def stop(server: ServerOption = "main") -> None:
    """Stop a server and all its processes."""
    from lightmeter.serve.torchserve.server import stop as stop_server

    count = stop_server(server_directory_of(server))
    console.get_console().emit({"server": server, "stopped": count}, f"Stopped {count} processes.")


def _all_archives(project: "Project") -> list[Path]:
    archives = sorted(project.archives.glob("*.mar"))
    if not archives:
        raise UsageError(f"No archives in {project.archives}; create one with 'lightmeter serve archive RUN'.")
    return archives


def _status(directory: "ServerDirectory") -> dict[str, Any]:
    from lightmeter.serve.torchserve.status import server_status

    return server_status(directory)


def _status_or_problem(name: str) -> dict[str, Any]:
    """Return the status of a server; one that is damaged or does not answer does not hide the others."""
    try:
        return _status(server_directory_of(name))
    except UsageError:
        raise
    except LightmeterError as error:
        return {"server": name, "running": False, "models": [], "addresses": {}, "java": None, "problem": str(error)}


def _address_table(document: dict[str, Any]) -> Any:
    rows = [*document["addresses"].items(), ("logs", document["logs"]), ("tokens", document["tokens"])]
    return console.table("", ("", "address"), rows)


def _models_table(document: dict[str, Any]) -> Any:
    headings = ("model", "version", "ready", "queue", "latency ms", "batch", "memory MB")
    rows = []
    for model in document["models"]:
        ready = f"{model['ready_workers']} of {model['workers']}"
        memory = model["memory_bytes"] and model["memory_bytes"] // 10**6
        latency = model["latency_ms"] and round(model["latency_ms"])
        rows.append((model["name"], model["version"], ready, model["queue"], latency, model["batch_size"], memory))
    return console.table(f"Server {document['server']} at {document['addresses']['inference']}", headings, rows)
