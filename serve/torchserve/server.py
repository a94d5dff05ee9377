"""Start TorchServe, wait until it really answers, and stop it without a trace.

Java is started directly: the ``torchserve`` command leaves Java and the workers behind when it is stopped.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import write_atomic
from lightmeter.project import Project
from lightmeter.serve.archive import Archive, check_archive
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve import processes
from lightmeter.serve.torchserve.config import (
    LOOPBACK,
    START_TIMEOUT_S,
    Ports,
    choose_ports,
    declared_metrics,
    properties,
    torchserve_folder,
    url,
)
from lightmeter.serve.torchserve.diagnosis import diagnose_worker, java_error
from lightmeter.serve.torchserve.java import Java, find_java
from lightmeter.serve.torchserve.state import DEFAULT, ServedModel, ServerDirectory, ServerState, server_directory


@dataclass(frozen=True)
class StartOptions:
    """How a server is started.

    Attributes:
        name: in the project.
        port: that photographs are sent to; 0 for a free one.
        model_api: whether models can be added and removed through the management address, as `roll` needs.
        python: that the workers run in; else this one.
    """

    name: str = DEFAULT
    port: int = 0
    model_api: bool = False
    python: Path = Path(sys.executable)


def start(project: Project, archives: Sequence[Path], options: StartOptions) -> ServerState:
    """Start a server and wait until every model has all its workers ready.

    Args:
        project: whose server it is.
        archives: what it serves.
        options: how.

    Raises:
        UsageError: if such a server runs, the port is taken, or an archive is no good.
        LightmeterError: if TorchServe or a model does not start; the sentence holds the worker's own error.
    """
    place = server_directory(project, options.name)
    _stop_leftovers(place)
    checked = sorted((check_archive(archive) for archive in archives), key=_count, reverse=True)
    models = _served(checked)
    java = find_java()
    settings = project.settings.serve
    ports = choose_ports(settings.host, options.port)
    _prepare_directory(place, checked, models)
    written = properties(place, settings, ports, models, model_api=options.model_api)
    write_atomic(place.configuration, written)
    temporary = tempfile.mkdtemp(prefix="lightmeter-")  # short, since a socket's path has 107 bytes at most
    pid = _launch(place, java, options.python, temporary)
    state = ServerState(
        pid=pid,
        **_addresses(settings.host, ports),
        temporary=temporary,
        java=f"{java.path} ({java.version})",
        model_api=options.model_api,
        models=tuple(models),
    )
    place.write(state)
    try:
        _wait(place, state, settings.workers)
    except BaseException:
        _end(place, state)
        raise
    return state


def _addresses(host: str, ports: Ports) -> dict[str, str]:
    """Return where a server that listens on a host is reached from this machine."""
    reached = LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    return {
        "inference": url(reached, ports.inference),
        "management": url(LOOPBACK, ports.management),
        "metrics": url(LOOPBACK, ports.metrics),
        "grpc": f"{LOOPBACK}:{ports.grpc_inference}",
    }


def stop(place: ServerDirectory) -> int:
    """Stop a server and everything that it started; return how many processes there were.

    Raises:
        LightmeterError: if no such server was started.
    """
    state = place.read()
    if state is None:
        raise LightmeterError(f"No server '{place.name}' runs here; start one with 'lightmeter serve start'.")
    return _end(place, state)


def connect(place: ServerDirectory) -> ServerState:
    """Return a running server.

    Raises:
        LightmeterError: if it does not run.
    """
    state = place.read()
    if state is None or not processes.is_alive(state):
        raise LightmeterError(f"No server '{place.name}' runs here; start one with 'lightmeter serve start'.")
    return state


def _end(place: ServerDirectory, state: ServerState) -> int:
    count = processes.terminate(state)
    shutil.rmtree(state.temporary, ignore_errors=True)
    place.forget()
    return count


def _stop_leftovers(place: ServerDirectory) -> None:
    """Clear away what a server that died has left, unless it lives."""
    state = place.read()
    if state is None:
        return
    if processes.is_alive(state):
        raise UsageError(
            f"A server '{place.name}' runs already at {state.inference}; "
            "stop it with 'lightmeter serve stop', or give this one another name with --server."
        )
    _end(place, state)


def _count(archive: Archive) -> list[str | int]:
    """Return a version as one counts, 10.0 after 9.1: TorchServe gives requests that name none to the first loaded."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", archive.version)]


def _served(archives: Sequence[Archive]) -> list[ServedModel]:
    models = [ServedModel(each.name, each.version, f"{each.name}-{each.version}.mar", each.sha256) for each in archives]
    for index, model in enumerate(models):
        if (model.name, model.version) in {(other.name, other.version) for other in models[:index]}:
            raise UsageError(
                f"Two archives hold version {model.version} of {model.name}; "
                "archive one of them again with another --version, or start with the one that you mean."
            )
    return models


def _prepare_directory(place: ServerDirectory, archives: Sequence[Archive], models: Sequence[ServedModel]) -> None:
    """Make the server's folder: archives, log folder, declaration of metrics."""
    place.folder.mkdir(parents=True, exist_ok=True)
    place.folder.chmod(0o700)
    for folder in (place.archives, place.logs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for archive, model in zip(archives, models, strict=True):
        shutil.copyfile(archive.path, place.archives / model.archive)
    write_atomic(place.metrics, json.dumps(declared_metrics(), indent=2))  # JSON is YAML


def _launch(place: ServerDirectory, java: Java, python: Path, temporary: str) -> int:
    """Start Java in a session of its own and return its process id."""
    folder = torchserve_folder()
    command = [
        str(java.path),
        f"-Djava.io.tmpdir={temporary}",
        f"-Dmodel_server_home={folder.parent}",
        "-cp",
        f"{folder / 'frontend'}/*",
        "org.pytorch.serve.ModelServer",
        *("--python", str(python)),
        *("-f", str(place.configuration)),
        *("-s", str(place.archives)),
        "-ncs",
    ]
    own = {"TMPDIR": temporary, "TEMP": temporary, "LOG_LOCATION": str(place.logs), "METRICS_LOCATION": str(place.logs)}
    with (place.logs / "console.log").open("wb") as console:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # it outlives this command on purpose; Python need not warn of it
    return process.pid


def _wait(place: ServerDirectory, state: ServerState, workers: int) -> None:
    """Wait until every model is ready. ``/ping`` is not asked: it says "Healthy" of a server whose workers are dead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with Client(place, state) as client:
        while time.monotonic() < deadline:
            if not processes.is_alive(state):
                raise LightmeterError(f"TorchServe did not start: {java_error(place)} (log: {place.logs}).")
            if reason := diagnose_worker(place):
                raise LightmeterError(reason)
            if place.keys.is_file() and client.ready(workers):
                return
            time.sleep(0.1)
    raise LightmeterError(f"TorchServe was not ready after {START_TIMEOUT_S} s; its log is in {place.logs}.")
