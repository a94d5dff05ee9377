"""Commands that predict with a server, and the other ways to serve a run."""

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import UsageError
from lightmeter.models.commands.options import Engine, ExifFile, RunFolder
from lightmeter.project import find_project
from lightmeter.serve.commands.options import ServerOption
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup

if TYPE_CHECKING:
    pass

app = CommandGroup()


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
