"""Start TorchServe, wait until its models are ready, and stop it with all its processes.

A supervisor runs Java behind the gateway, because the ``torchserve`` command leaves Java and the workers running when
it is stopped, and Java cuts the requests that it is answering.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.processes import ProcessIdentity
from lightmeter.project import Project
from lightmeter.serve.archive import Archive, copy_archive
from lightmeter.serve.client import Client
from lightmeter.serve.gateway.server import DRAIN_S, listen
from lightmeter.serve.gateway.tokens import KEY_FILE_VARIABLE, KEY_VARIABLE, static_key
from lightmeter.serve.handler.tracing import ENDPOINTS
from lightmeter.serve.torchserve.config import START_TIMEOUT_S, addresses, free_ports, write_configuration
from lightmeter.serve.torchserve.diagnosis import diagnose_worker, first_error
from lightmeter.serve.torchserve.environment import (
    LOGS_VARIABLE,
    SERVER_VARIABLE,
    make_temporary,
    new_token,
    remove_temporary,
    torchserve_folder,
)
from lightmeter.serve.torchserve.java import Java, find_java
from lightmeter.serve.torchserve.processes import (
    find_servers,
    processes_of,
    request_stop,
    running_state,
    terminate,
)
from lightmeter.serve.torchserve.state import (
    DEFAULT_SERVER,
    DamagedState,
    ServedModel,
    ServerDirectory,
    ServerState,
    server_directory,
)

_ENGINE_STOP_S = 30  # for Java and its workers, after the last response


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


def restart(project: Project, directory: ServerDirectory) -> ServerState:
    """Stop a server once it has answered its requests, and start it again with the same archives, address and options.

    Raises:
        UsageError: It is a LitServe, which runs in a terminal or under a service manager of its own.
        LightmeterError: The server is not running, or failed to start again.
    """
    state = running_state(directory)
    check_torchserve(directory, state)
    with TemporaryDirectory(prefix="lightmeter-") as folder:
        archives = [Path(folder) / model.archive for model in state.models]
        for archive in archives:
            shutil.copy2(directory.archives / archive.name, archive)
        port = int(state.inference.rpartition(":")[2])
        stop(directory)
        return start(project, archives, StartOptions(directory.name, port, state.model_api))


def check_torchserve(directory: ServerDirectory, state: ServerState) -> None:
    """Check that a server is a TorchServe.

    Raises:
        UsageError: It is a LitServe.
    """
    if state.framework != "torchserve":
        raise UsageError(
            f"Server '{directory.name}' is a LitServe; stop it, and start it again with 'lightmeter serve litserve'."
        )


def start(project: Project, archives: Sequence[Path], options: StartOptions) -> ServerState:
    """Start a server and wait until all workers of every model are ready.

    Args:
        project: Project of the server.
        archives: Archives to serve.
        options: Options of the server.

    Raises:
        UsageError: The server is already running, the address cannot be bound, or an archive is invalid.
        LightmeterError: TorchServe or a model failed to start; the message contains the worker's error.
    """
    directory = server_directory(project, options.name)
    with directory.lock():
        return _start(project, directory, archives, options)


def _start(
    project: Project, directory: ServerDirectory, archives: Sequence[Path], options: StartOptions
) -> ServerState:
    settings = project.settings.serve
    stop_leftovers(directory)
    java = find_java()
    listener = listen(settings.host, options.port or settings.port)
    with closing(listener):
        models = _prepare_directory(directory, archives)
        ports = free_ports(settings)
        urls = addresses(settings.host, listener.getsockname()[1], ports)
        write_configuration(directory, settings, urls["inference"], ports, models, model_api=options.model_api)
        token = new_token()
        temporary = make_temporary(token)
        pid = _launch(directory, project, java, options.python, temporary, token, listener)
        state = ServerState(
            framework="torchserve",
            process=str(ProcessIdentity.of(pid)),
            token=token,
            folder=str(directory.path),
            inference=urls["inference"],
            management=urls["management"],
            metrics=urls["metrics"],
            grpc=urls["grpc"],
            temporary=str(temporary),
            java=f"{java.path} ({java.version})",
            model_api=options.model_api,
            models=tuple(models),
        )
    directory.write(state)
    try:
        _wait(directory, state, settings.workers)
    except BaseException:
        remove(directory, state)
        raise
    return state


def stop(directory: ServerDirectory) -> int:
    """Stop a server once it has answered the requests that it accepted, and return the number of its processes.

    A server whose state file is damaged is found by its processes.

    Raises:
        LightmeterError: No such server was started.
    """
    try:
        state = directory.read()
    except DamagedState:
        return _stop_unknown(directory)
    if state is None:
        raise LightmeterError(f"Server '{directory.name}' is not running; start it with 'lightmeter serve start'.")
    processes = {process.pid for process in processes_of(state.token)} | ({state.pid} if state.is_running else set())
    request_stop(state, DRAIN_S + _ENGINE_STOP_S)
    remove(directory, state)
    return len(processes)


def remove(directory: ServerDirectory, state: ServerState) -> None:
    """End what still runs of a server, and remove its temporary folder and its state."""
    request_stop(state, 0)
    terminate(state.token)
    if state.temporary:
        remove_temporary(Path(state.temporary), state.token)
    directory.remove()


def _stop_unknown(directory: ServerDirectory) -> int:
    """Stop the servers of a directory whose state is damaged, and return the number of their processes."""
    count = 0
    for token, folders in find_servers(directory.logs).items():
        count += terminate(token)
        for folder in folders:
            remove_temporary(Path(folder), token)
    directory.remove()
    return count


def stop_leftovers(directory: ServerDirectory) -> None:
    """Stop what is left of a server whose main process has died.

    Raises:
        UsageError: The server is running.
    """
    state = directory.read()
    if state and state.is_running:
        raise UsageError(
            f"Server '{directory.name}' is already running at {state.inference}; stop it with 'lightmeter serve stop', "
            "or choose another name with --server."
        )
    if state:
        remove(directory, state)


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


def _prepare_directory(directory: ServerDirectory, archives: Sequence[Path]) -> list[ServedModel]:
    """Create the directory of a server, without logs, with validated copies of the archives.

    What is served is the copy that was validated, so that nobody can exchange an archive in between.

    Returns:
        The models, the highest version of each first.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    directory.path.chmod(0o700)
    for folder in (directory.archives, directory.logs):
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir()
    copies = [copy_archive(path, directory.archives / f"{index}.mar") for index, path in enumerate(archives)]
    models = _served_models(sorted(copies, key=_version_key, reverse=True))
    for copy in copies:
        copy.path.rename(directory.archives / ServedModel.from_archive(copy).archive)
    return models


def _launch(
    directory: ServerDirectory,
    project: Project,
    java: Java,
    python: Path,
    temporary: Path,
    token: str,
    listener: socket.socket,
) -> int:
    """Start the supervisor in a new session and return its process id."""
    torchserve_folder()  # raises an error if TorchServe is not installed
    command = [sys.executable, "-m", "lightmeter.serve.torchserve.supervisor"]
    command += [str(directory.configuration), str(directory.archives), "--python", str(python.absolute())]
    command += ["--temporary", str(temporary), "--java", str(java.path), "--listener", str(listener.fileno())]
    settings = project.settings.serve
    command += ["--log-format", settings.log_format]
    environment = {SERVER_VARIABLE: token, LOGS_VARIABLE: str(directory.logs)}
    if settings.otlp_endpoint:
        environment[ENDPOINTS[0]] = settings.otlp_endpoint
    environment[KEY_FILE_VARIABLE] = str(project.root / settings.token_file)
    if settings.token:
        environment[KEY_VARIABLE] = static_key(settings.token.get_secret_value())
    with (directory.logs / "console.log").open("wb") as console:
        process = subprocess.Popen(
            command,
            cwd=directory.path,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[listener.fileno()],
        )
    process.returncode = 0  # prevents Python's warning: the process is meant to outlive this command
    return process.pid


def _wait(directory: ServerDirectory, state: ServerState, workers: int) -> None:
    """Wait until every model is ready. ``/ping`` is not used: it says "Healthy" even when all workers are dead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with Client(directory, state) as client:
        while time.monotonic() < deadline:
            if not state.is_running:
                raise LightmeterError(f"TorchServe failed to start: {first_error(directory)} (log: {directory.logs}).")
            if reason := diagnose_worker(directory):
                raise LightmeterError(reason)
            if directory.keys.is_file() and client.ready(workers):
                return
            time.sleep(0.1)
    raise LightmeterError(f"TorchServe was not ready after {START_TIMEOUT_S} s (log: {directory.logs}).")
