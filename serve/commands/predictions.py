"""Commands that predict with a server, and the other ways to serve a run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import UsageError
from lightmeter.models.commands.options import Engine, ExifFile
from lightmeter.project import find_project
from lightmeter.serve.commands.options import ServerOption, find_archive
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup

if TYPE_CHECKING:
    from lightmeter.project import Project

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
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MAR",
            help="Run folder, the name of a run of this project, 'default', or an archive (NAME.mar).",
            autocompletion=completion.runs,
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on (0 = any free port).")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    engine: Engine = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port of the metrics (default: serve.metrics_port).")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Name of the server for 'serve status', 'logs', 'stop' … (default: the model's)."
        ),
    ] = None,
) -> None:
    """Serve a run or an archive with LitServe instead of TorchServe (extra 'litserve'); Ctrl-C stops it."""
    from lightmeter.models.runtime.engines import EngineError, check_engine
    from lightmeter.models.runtime.spec import BrokenModel, read_spec
    from lightmeter.project import find_optional_project
    from lightmeter.serve.gateway.tokens import KEY_VARIABLE, static_key
    from lightmeter.serve.litserve.server import LitServeOptions, run_server
    from lightmeter.serve.torchserve.state import server_directory
    from lightmeter.settings import ModelsSection, ServeSection

    if find_spec("litserve") is None:  # importing it would take seconds
        raise UsageError("LitServe is not installed; run: pip install 'lightmeter[litserve]'")
    project = find_optional_project()
    settings = project.settings.serve if project else ServeSection()
    models = project.settings.models if project else ModelsSection()
    key = settings.token.get_secret_value() if settings.token else os.environ.get(KEY_VARIABLE, "")
    with _run_folder(project, run) as folder:
        try:
            spec = read_spec(folder)
            selected = engine or (spec.engine if run.suffix == ".mar" else models.engine)
            check_engine(selected, "cpu")
        except (BrokenModel, EngineError) as error:
            raise UsageError(str(error)) from error
        directory = server_directory(project, server or spec.name) if project else None

        def announce(url: str, metrics: str) -> None:
            address = f"{url}/predictions/{spec.name}"
            document: dict[str, object] = {"name": spec.name, "address": address, "metrics": metrics}
            lines = [f"{spec.name} {spec.version} at {address}", f"Metrics: {metrics}"]
            if directory:
                document |= {"server": directory.name, "tokens": directory.keys, "logs": directory.logs}
                lines += [f"Tokens: {directory.keys}", f"Logs: {directory.logs}"]
            console.get_console().emit(document, lines)
            sys.stdout.flush()

        options = LitServeOptions(
            host=host,
            port=port,
            workers=workers,
            max_bytes=settings.max_request_bytes,
            token=static_key(key),
            engine=selected,
            token_file=project.root / settings.token_file if project else None,
            directory=directory,
            token_minutes=settings.token_minutes,
            metrics_port=settings.metrics_port if metrics_port is None else metrics_port,
            log_format=settings.log_format,
            otlp_endpoint=settings.otlp_endpoint,
        )
        run_server(folder, spec, options, announce)


@contextmanager
def _run_folder(project: "Project | None", run: Path) -> Iterator[Path]:
    """Yield the folder of a run, unpacked if an archive is given."""
    from lightmeter.models.training.runs import find_run
    from lightmeter.serve.archive import unpacked_run

    if run.suffix != ".mar":
        yield find_run(run)
        return
    with unpacked_run(find_archive(project, run) if project else run) as folder:
        yield folder
