"""The commands under ``lightmeter serve``."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import command_group
from lightmeter.errors import UsageError
from lightmeter.models.commands.options import ExifFile
from lightmeter.project import find_project

if TYPE_CHECKING:
    from lightmeter.project import Project
    from lightmeter.serve.torchserve.state import ServerDirectory

app = command_group("Serve what was learned, through TorchServe.")

_SERVER = typer.Option("--server", help="Name of the server, where a project has several.")


@app.command()
def archive(
    run: Annotated[Path, typer.Argument(help="A run folder, or the name of a run of this project.")],
    name: Annotated[str | None, typer.Option(help="Name of the served model; else the run's.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the served model; else the run's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder or .mar file; else archives/ of the project.")] = None,
) -> None:
    """Put a run, its predictor and the handler into one file that TorchServe loads."""
    from lightmeter.models.training.runs import find_run
    from lightmeter.serve.archive import write_archive

    made = write_archive(find_run(run), out or find_project().archives, name, version)
    console.get_console().emit(
        {
            "archive": made.path,
            "name": made.name,
            "version": made.version,
            "dataset": made.dataset,
            "bytes": made.path.stat().st_size,
            "sha256": made.sha256,
        },
        f"{made.name} {made.version} in {made.path}\nNext: lightmeter serve start",
    )


@app.command()
def start(
    archives: Annotated[
        list[Path] | None, typer.Argument(metavar="[MAR]...", help="Archives; else all of the project's.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To send photographs to; 0: a free one.")] = 0,
    model_api: Annotated[bool, typer.Option("--model-api", help="Let models be added later, with 'roll'.")] = False,
    python: Annotated[Path | None, typer.Option(help="Python of the workers; else this one.")] = None,
    server: Annotated[str, _SERVER] = "main",
) -> None:
    """Start TorchServe, and wait until its models are ready."""
    from lightmeter.serve.torchserve import server as torchserve
    from lightmeter.serve.torchserve.state import server_directory

    here = find_project()
    chosen = [_archive(here, each) for each in archives] if archives else _all_archives(here)
    console.get_console().note(f"Starting TorchServe with {len(chosen)} archive(s) …")
    options = torchserve.StartOptions(server, port, model_api, python or Path(sys.executable))
    state = torchserve.start(here, chosen, options)
    place = server_directory(here, server)
    first = state.models[0].name
    call = (
        f'curl -H "Authorization: Bearer $(python -c \'import json; print(json.load(open("{place.keys}"))'
        f'["inference"]["key"])\')" --data-binary @PHOTOGRAPH.jpg -H "Content-Type: application/octet-stream" '
        f"{state.inference}/predictions/{first}"
    )
    console.get_console().emit(
        {**_status(place), "call": call},
        [
            _models_table(_status(place)),
            f"Next: lightmeter serve predict {first} PHOTOGRAPH.jpg\nor:   lightmeter serve demo\nor:   {call}",
        ],
    )


@app.command()
def status(server: Annotated[str, _SERVER] = "main") -> None:
    """Show what is served, and whether it is ready; exit code 1 if the server does not run."""
    from lightmeter.serve.torchserve.state import server_directory

    document = _status(server_directory(find_project(), server))
    show = _models_table(document) if document["running"] else f"No server '{server}' runs here."
    console.get_console().emit(document, show)
    if not document["running"]:
        raise typer.Exit(1)


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="A served model.")],
    files: Annotated[list[Path], typer.Argument(help="Photographs.")],
    version: Annotated[str | None, typer.Option(help="Of the model; else the one that is served by default.")] = None,
    exif: ExifFile = None,
    server: Annotated[str, _SERVER] = "main",
) -> None:
    """Ask a running server how photographs were made; one that cannot be read is answered with the reason."""
    from lightmeter.models.commands.tables import shown_answers
    from lightmeter.serve.predict import predict_files
    from lightmeter.serve.torchserve.state import server_directory

    answers = predict_files(server_directory(find_project(), server), name, files, version, exif)
    console.get_console().emit(answers, shown_answers(answers))
    if all("error" in answer for answer in answers):
        raise typer.Exit(1)


@app.command()
def roll(
    archive: Annotated[Path, typer.Argument(metavar="MAR", help="Archive of a new version of a served model.")],
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving the old version, beside the new one.")] = False,
    server: Annotated[str, _SERVER] = "main",
) -> None:
    """Put a new version in an old one's place while requests come in; none fails."""
    from lightmeter.serve.torchserve.rollout import rollout as roll_out
    from lightmeter.serve.torchserve.state import server_directory

    here = find_project()
    place = server_directory(here, server)
    roll_out(place, here.settings.serve, _archive(here, archive), keep=keep)
    document = _status(place)
    console.get_console().emit(document, _models_table(document))


@app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 40,
    access: Annotated[bool, typer.Option("--access", help="The requests, instead of what the models wrote.")] = False,
    server: Annotated[str, _SERVER] = "main",
) -> None:
    """Show the last lines of a server's log, also after it was stopped."""
    from lightmeter.serve.torchserve.logs import last_lines
    from lightmeter.serve.torchserve.state import server_directory

    found = last_lines(server_directory(find_project(), server), lines, access=access)
    console.get_console().emit({"server": server, "lines": found}, found)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: a free one.")] = 0,
    server: Annotated[str, _SERVER] = "main",
) -> None:
    """Put up a local page on which a person drops a photograph and sees the reading; Ctrl-C takes it down."""
    from lightmeter.serve.torchserve.state import server_directory
    from lightmeter.serve.web_demo.server import page

    here = find_project()
    with page(server_directory(here, server), port, here.settings.serve.max_request_bytes) as put_up:
        console.get_console().emit({"page": put_up.address}, f"Open {put_up.address} (Ctrl-C takes it down)")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            put_up.serve_forever()


@app.command()
def litserve(
    run: Annotated[Path, typer.Argument(help="A run folder, or the name of a run of this project.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Serve a run through LitServe instead (an extra), until Ctrl-C."""
    from lightmeter.models.runtime.spec import BrokenModel, read_spec
    from lightmeter.models.training.runs import find_run

    try:
        from lightmeter.serve.litserve import run_server
    except ImportError as error:
        raise UsageError("LitServe is not installed; pip install 'lightmeter[litserve]'.") from error
    try:
        spec = read_spec(find_run(run))
    except BrokenModel as error:
        raise UsageError(str(error)) from error
    call = f"http://{host}:{port}/predictions/{spec.name}"
    console.get_console().emit({"name": spec.name, "address": call}, f"{spec.name} {spec.version} at {call}")
    sys.stdout.flush()
    run_server(find_run(run), spec, host=host, port=port, workers=workers)


@app.command()
def stop(server: Annotated[str, _SERVER] = "main") -> None:
    """Stop a server and every process that it started."""
    from lightmeter.serve.torchserve import server as torchserve
    from lightmeter.serve.torchserve.state import server_directory

    count = torchserve.stop(server_directory(find_project(), server))
    console.get_console().emit({"server": server, "stopped": count}, f"Stopped: {count} processes ended.")


def _archive(here: "Project", given: Path) -> Path:
    """Return an archive that is given as a path or by its model's name in the project."""
    if not given.exists() and len(given.parts) == 1:
        named = here.archives / (given.name if given.suffix == ".mar" else f"{given.name}.mar")
        if named.is_file():
            return named
    return given


def _all_archives(here: "Project") -> list[Path]:
    found = sorted(here.archives.glob("*.mar"))
    if not found:
        raise UsageError(f"There is no archive in {here.archives}; make one with 'lightmeter serve archive RUN'.")
    return found


def _status(place: "ServerDirectory") -> dict[str, Any]:
    from lightmeter.serve.torchserve.status import server_status

    return server_status(place)


def _models_table(document: dict[str, Any]) -> Any:
    rows = [
        (
            model["name"],
            model["version"],
            f"{model['ready_workers']} of {model['workers']}",
            model["queue"],
            None if model["latency_ms"] is None else round(model["latency_ms"], 1),
            model["batch_size"],
            None if model["memory_bytes"] is None else round(model["memory_bytes"] / 1e6),
        )
        for model in document["models"]
    ]
    title = f"Server {document['server']} at {document['addresses']['inference']}"
    return console.table(title, ("model", "version", "ready", "queue", "latency ms", "batch", "memory MB"), rows)
