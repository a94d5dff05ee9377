"""The commands under ``lightmeter serve``."""

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.commands.options import Engine, ExifFile, RunFolder, TrainingData
from lightmeter.plugins import unknown_name_message
from lightmeter.project import find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import Force, Yes, check_unused, command_group, confirm_removal

if TYPE_CHECKING:
    from lightmeter.project import Project
    from lightmeter.serve.torchserve.state import ServerDirectory

app = command_group("Serve models with TorchServe.")

ServerOption = Annotated[
    str,
    typer.Option("--server", help="Name of the server, if the project has several.", autocompletion=completion.servers),
]
ArchiveArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MAR", help="Archive of a new version of a served model.", autocompletion=completion.archives
    ),
]


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
    paths = [_find_archive(current, path) for path in archives] if archives else _all_archives(current)
    console.get_console().note(f"Starting TorchServe with {len(paths)} archive(s) …")
    state = start_server(current, paths, StartOptions(server, port, model_api, python or Path(sys.executable)))
    directory = server_directory(current, server)
    model = state.models[0].name
    curl = (
        f'curl -H "Authorization: Bearer $(python -c \'import json; print(json.load(open("{directory.keys}"))'
        f'["inference"]["key"])\')" --data-binary @PHOTO.jpg {state.inference}/predictions/{model}'
    )
    next_steps = f"Next: lightmeter serve predict {model} PHOTO.jpg\nor:   lightmeter serve demo\nor:   {curl}"
    document = _status(directory)
    console.get_console().emit({**document, "curl": curl}, [_models_table(document), next_steps])


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


@app.command()
def restart(server: ServerOption = "main") -> None:
    """Stop a server and start it again with the same archives and address, and the current settings."""
    from lightmeter.serve.torchserve.server import restart as restart_server

    directory = _directory(server)
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
    documents = [_status(_directory(name)) for name in names]
    running = [document for document in documents if document["running"]]
    shown = [part for document in running for part in (_models_table(document), _address_table(document))]
    stopped = [f"Server '{document['server']}' is not running." for document in documents if not document["running"]]
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
def predict(
    model: Annotated[str, typer.Argument(help="Name of a served model.")],
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    version: Annotated[str | None, typer.Option(help="Model version (default: the active one).")] = None,
    exif: ExifFile = None,
    server: ServerOption = "main",
    url: Annotated[str | None, typer.Option(help="URL of a server anywhere, instead of one of this project.")] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="LIGHTMETER_TOKEN",
            help="Token for --url: env:VARIABLE, file:PATH or the token itself.",
            show_envvar=True,
        ),
    ] = "",
) -> None:
    """Predict photographs with a running server; unreadable files are reported with the reason."""
    from lightmeter.credentials import resolve_secret
    from lightmeter.models.commands.tables import prediction_tables
    from lightmeter.models.evaluation.predict import read_exif_file
    from lightmeter.serve.client import Client, RemoteClient

    if token and not url:
        raise UsageError("--token is for --url; servers of this project need none.")
    with (
        RemoteClient(url, resolve_secret(token, Path.cwd(), "--token") if token else "")
        if url
        else Client.connect(find_project(), server) as client,
        console.get_console().progress() as progress,
    ):
        responses = client.predict_files(model, files, version, read_exif_file(exif, files))
        predictions = list(progress.track(responses, total=len(files), description="photographs"))
    console.get_console().emit(predictions, prediction_tables(predictions))
    if all("error" in prediction for prediction in predictions):
        raise typer.Exit(1)


@app.command()
def rollout(
    archive: ArchiveArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Keep serving the old version as well.")] = False,
    server: ServerOption = "main",
) -> None:
    """Replace a served version without downtime."""
    from lightmeter.serve.torchserve.rollout import rollout as roll_out

    current, directory = find_project(), _directory(server)
    roll_out(directory, current.settings.serve, _find_archive(current, archive), keep=keep)
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
    directory = _directory(server)
    text = last_lines(directory, lines, access=access)
    console.get_console().emit({"server": server, "lines": text}, text)
    with suppress(KeyboardInterrupt):
        for line in follow_log(directory, access=access) if follow else ():
            console.get_console().emit(line, line)
            sys.stdout.flush()


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port (0 = any free port).")] = 0,
    server: ServerOption = "main",
) -> None:
    """Start a local demo page for photographs; Ctrl-C stops it."""
    from lightmeter.serve.web_demo.server import web_demo
    from lightmeter.web import LocalServer

    current = find_project()
    with LocalServer(web_demo(current, server), port) as local:
        console.get_console().emit({"page": local.url}, f"Open {local.url} (Ctrl-C stops the page)")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            local.wait()


@app.command()
def litserve(
    run: RunFolder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on (0 = any free port).")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    engine: Engine = None,
) -> None:
    """Serve a run with LitServe instead of TorchServe (extra 'litserve'); Ctrl-C stops it."""
    from lightmeter.models.runtime.engines import EngineError, check_engine
    from lightmeter.models.runtime.spec import BrokenModel, read_spec
    from lightmeter.models.training.runs import find_run
    from lightmeter.project import find_optional_project
    from lightmeter.serve.gateway.tokens import KEY_VARIABLE, static_key
    from lightmeter.serve.litserve.server import LitServeOptions, run_server
    from lightmeter.settings import ModelsSection, ServeSection

    if find_spec("litserve") is None:  # importing it would take seconds
        raise UsageError("LitServe is not installed; run: pip install 'lightmeter[litserve]'")
    folder = find_run(run)
    project = find_optional_project()
    selected = engine or (project.settings.models if project else ModelsSection()).engine
    try:
        spec = read_spec(folder)
        check_engine(selected, "cpu")
    except (BrokenModel, EngineError) as error:
        raise UsageError(str(error)) from error

    def announce(url: str) -> None:
        address = f"{url}/predictions/{spec.name}"
        console.get_console().emit({"name": spec.name, "address": address}, f"{spec.name} {spec.version} at {address}")
        sys.stdout.flush()

    settings = project.settings.serve if project else ServeSection()
    key = settings.token.get_secret_value() if settings.token else os.environ.get(KEY_VARIABLE, "")
    file = project.root / settings.token_file if project else None
    options = LitServeOptions(host, port, workers, settings.max_request_bytes, static_key(key), selected, file)
    run_server(folder, spec, options, announce)


@app.command()
def stop(server: ServerOption = "main") -> None:
    """Stop a server and all its processes."""
    from lightmeter.serve.torchserve.server import stop as stop_server

    count = stop_server(_directory(server))
    console.get_console().emit({"server": server, "stopped": count}, f"Stopped {count} processes.")


def _directory(server: str) -> "ServerDirectory":
    from lightmeter.serve.torchserve.state import server_directory

    directory, others = server_directory(find_project(), server), completion.servers("")
    if others and not directory.path.exists():
        raise UsageError(unknown_name_message("server", server, others))
    return directory


def _find_archive(project: "Project", archive: Path) -> Path:
    """Return the path of an archive that is given as a path or by its model's name in the project."""
    named = project.archives / (archive.name if archive.suffix == ".mar" else f"{archive.name}.mar")
    if archive.exists() or len(archive.parts) > 1:
        return archive
    if not named.is_file() and completion.archives(""):
        raise UsageError(unknown_name_message("archive", archive.name, completion.archives("")))
    return named if named.is_file() else archive


def _command_for(project: "Project", archive: Path) -> list[str]:
    """Return the command that serves a new archive: a rollout where the main server serves another version of it."""
    from lightmeter.serve.torchserve.processes import running_state
    from lightmeter.serve.torchserve.state import server_directory

    with suppress(LightmeterError):
        models = running_state(server_directory(project, "main")).models
        if any(model.name == archive.stem for model in models):
            return ["rollout", archive.stem]
    return ["start"]


def _all_archives(project: "Project") -> list[Path]:
    archives = sorted(project.archives.glob("*.mar"))
    if not archives:
        raise UsageError(f"No archives in {project.archives}; create one with 'lightmeter serve archive RUN'.")
    return archives


def _status(directory: "ServerDirectory") -> dict[str, Any]:
    from lightmeter.serve.torchserve.status import server_status

    return server_status(directory)


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
