"""Start TorchServe, wait until its models are ready, and stop it with all its processes.

Java is started directly, because the ``torchserve`` command leaves Java and the workers running when it is stopped.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.project import Project
from lightmeter.serve.archive import Archive, check_archive
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve.config import (
    START_TIMEOUT_S,
    addresses,
    free_ports,
    torchserve_folder,
    write_configuration,
)
from lightmeter.serve.torchserve.diagnosis import diagnose_worker, java_error
from lightmeter.serve.torchserve.java import Java, find_java
from lightmeter.serve.torchserve.processes import is_running, terminate
from lightmeter.serve.torchserve.state import (
    DEFAULT_SERVER,
    ServedModel,
    ServerDirectory,
    ServerState,
    server_directory,
)


@dataclass(frozen=True)
class StartOptions:
    """Options of a server.

    Attributes:
        name: Name of the server in the project.
        port: Port of the inference API; 0 for any free port.
        model_api: Whether models can be added and removed while the server runs, as `rollout` requires.
        python: Python interpreter of the workers.
    """

    name: str = DEFAULT_SERVER
    port: int = 0
    model_api: bool = False
    python: Path = Path(sys.executable)


def start(project: Project, archives: Sequence[Path], options: StartOptions) -> ServerState:
    """Start a server and wait until all workers of every model are ready.

    Args:
        project: Project of the server.
        archives: Archives to serve.
        options: Options of the server.

    Raises:
        UsageError: The server is already running, the port is in use, or an archive is invalid.
        LightmeterError: TorchServe or a model failed to start; the message contains the worker's error.
    """
    directory = server_directory(project, options.name)
    _stop_leftovers(directory)
    checked = sorted((check_archive(archive) for archive in archives), key=_version_key, reverse=True)
    models = _served_models(checked)
    java = find_java()
    settings = project.settings.serve
    ports = free_ports(settings.host, options.port)
    _prepare_directory(directory, checked, models)
    write_configuration(directory, settings, ports, models, model_api=options.model_api)
    temporary = tempfile.mkdtemp(prefix="lightmeter-")  # a short path: sockets allow 107 bytes
    state = ServerState(
        pid=_launch(directory, java, options.python, temporary),
        **addresses(settings.host, ports),
        temporary=temporary,
        java=f"{java.path} ({java.version})",
        model_api=options.model_api,
        models=tuple(models),
    )
    directory.write(state)
    try:
        _wait(directory, state, settings.workers)
    except BaseException:
        _stop(directory, state)
        raise
    return state


def stop(directory: ServerDirectory) -> int:
    """Stop a server with all its processes, and return their number.

    Raises:
        LightmeterError: No such server was started.
    """
    state = directory.read()
    if state is None:
        raise LightmeterError(f"Server '{directory.name}' is not running; start it with 'lightmeter serve start'.")
    return _stop(directory, state)


def _stop(directory: ServerDirectory, state: ServerState) -> int:
    count = terminate(state)
    shutil.rmtree(state.temporary, ignore_errors=True)
    directory.remove()
    return count


def _stop_leftovers(directory: ServerDirectory) -> None:
    """Stop the workers of a server whose Java has died."""
    state = directory.read()
    if state and is_running(state):
        raise UsageError(
            f"Server '{directory.name}' is already running at {state.inference}; stop it with 'lightmeter serve stop', "
            "or choose another name with --server."
        )
    if state:
        _stop(directory, state)


def _version_key(archive: Archive) -> list[str | int]:
    """Return a key that sorts 10.0 after 9.1; requests without a version go to the version that is loaded first."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", archive.version)]


def _served_models(archives: Sequence[Archive]) -> list[ServedModel]:
    versions = Counter((archive.name, archive.version) for archive in archives)
    for (name, version), count in versions.items():
        if count > 1:
            raise UsageError(
                f"{count} archives contain version {version} of {name}; archive a run again with another --version, or "
                "name the archives to serve."
            )
    return [ServedModel.from_archive(archive) for archive in archives]


def _prepare_directory(directory: ServerDirectory, archives: Sequence[Archive], models: Sequence[ServedModel]) -> None:
    """Create the directory of a server, with the archives and without logs."""
    directory.path.mkdir(parents=True, exist_ok=True)
    directory.path.chmod(0o700)
    for folder in (directory.archives, directory.logs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for archive, model in zip(archives, models, strict=True):
        shutil.copyfile(archive.path, directory.archives / model.archive)


def _launch(directory: ServerDirectory, java: Java, python: Path, temporary: str) -> int:
    """Start Java in a new session and return its process id."""
    folder = torchserve_folder()
    command = [str(java.path), f"-Djava.io.tmpdir={temporary}", f"-Dmodel_server_home={folder.parent}"]
    command += ["-cp", f"{folder / 'frontend'}/*", "org.pytorch.serve.ModelServer", "--python", str(python)]
    command += ["-f", str(directory.configuration), "-s", str(directory.archives), "-ncs"]
    logs = str(directory.logs)
    environment = {"TMPDIR": temporary, "TEMP": temporary, "LOG_LOCATION": logs, "METRICS_LOCATION": logs}
    with (directory.logs / "console.log").open("wb") as console:
        process = subprocess.Popen(
            command,
            cwd=directory.path,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # prevents Python's warning: the process is meant to outlive this command
    return process.pid


def _wait(directory: ServerDirectory, state: ServerState, workers: int) -> None:
    """Wait until every model is ready. ``/ping`` is not used: it says "Healthy" even when all workers are dead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with Client(directory, state) as client:
        while time.monotonic() < deadline:
            if not is_running(state):
                raise LightmeterError(f"TorchServe failed to start: {java_error(directory)} (log: {directory.logs}).")
            if reason := diagnose_worker(directory):
                raise LightmeterError(reason)
            if directory.keys.is_file() and client.ready(workers):
                return
            time.sleep(0.1)
    raise LightmeterError(f"TorchServe was not ready after {START_TIMEOUT_S} s (log: {directory.logs}).")
