"""Replace a served version of a model without downtime."""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import temporary_folder
from lightmeter.serve.archive import copy_archive
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve.config import RESPONSE_TIMEOUT_S
from lightmeter.serve.torchserve.diagnosis import diagnose_worker
from lightmeter.serve.torchserve.processes import cpu_seconds, running_state
from lightmeter.serve.torchserve.server import check_torchserve
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory, ServerState
from lightmeter.settings import ServeSection

_OBSERVATION_S = 1.0
_MAX_IDLE_CPU_S = 0.02  # an idle worker uses no CPU time


def rollout(directory: ServerDirectory, settings: ServeSection, archive: Path, *, keep: bool = False) -> None:
    """Load a new version, send requests to it, and then remove the old versions.

    Args:
        directory: Directory of the server.
        settings: Number of workers and batch settings of the new version.
        archive: Archive of the new version.
        keep: Keep the old versions, at their own addresses.

    Raises:
        UsageError: The server was started without the model API, or the version is already served.
        LightmeterError: The new version failed to load; the old one is still served.
    """
    with directory.lock():
        state = running_state(directory)
        check_torchserve(directory, state)
        new = _copy(directory, state, archive)
        with Client(directory, state) as client:
            _register(client, directory, new, settings)
            old = [model for model in state.models if model.name == new.name and not keep]
            # From here on both versions are served, and the state says so, whatever happens to this command.
            state = replace(state, models=(*state.models, new))
            directory.write(state)
            client.set_default(new.name, new.version)
            for model in old:
                _unregister_when_idle(client, model)
                state = replace(state, models=tuple(other for other in state.models if other != model))
                directory.write(state)
                (directory.archives / model.archive).unlink(missing_ok=True)


def _copy(directory: ServerDirectory, state: ServerState, archive: Path) -> ServedModel:
    """Copy the new archive, validate the copy, and put it into the model store."""
    with temporary_folder(directory.path) as folder:
        copy = copy_archive(archive, folder / "new.mar")
        new = ServedModel.from_archive(copy)
        _check(state, new)
        copy.path.rename(directory.archives / new.archive)
    return new


def _check(state: ServerState, new: ServedModel) -> None:
    if not state.model_api:
        raise UsageError(
            "This server does not accept new models; restart it with 'lightmeter serve start --model-api'."
        )
    if any((model.name, model.version) == (new.name, new.version) for model in state.models):
        raise UsageError(
            f"Version {new.version} of {new.name} is already served; archive the new run with another --version."
        )


def _register(client: Client, directory: ServerDirectory, new: ServedModel, settings: ServeSection) -> None:
    """Load the new version; if it fails, remove its archive and raise the worker's error."""
    try:
        client.register(new.archive, settings)
    except LightmeterError as error:
        with suppress(LightmeterError):  # it may be registered in part, or still be loading
            client.unregister(new.name, new.version)
        (directory.archives / new.archive).unlink(missing_ok=True)
        reason = diagnose_worker(directory, f"{new.name}_{new.version}")
        raise LightmeterError(reason or str(error)) from error


def _unregister_when_idle(client: Client, model: ServedModel) -> None:
    """Remove a version once its queue is empty and its workers are idle.

    TorchServe reports the number of queued requests, but not whether a worker is processing one, and removing the
    version would lose that request.
    """
    deadline = time.monotonic() + RESPONSE_TIMEOUT_S
    while _is_busy(client, model):
        if time.monotonic() > deadline:
            raise LightmeterError(
                f"The new version is served, but version {model.version} of {model.name} still received requests after "
                f"{RESPONSE_TIMEOUT_S} s and was kept beside it; restart the server to remove it."
            )
    client.unregister(model.name, model.version)


def _is_busy(client: Client, model: ServedModel) -> bool:
    """Observe a version for a second and return whether it had requests."""
    key = model.name, model.version
    pids = [worker["pid"] for worker in client.models().get(key, {}).get("workers", ())]
    before = cpu_seconds(pids)
    time.sleep(_OBSERVATION_S)
    queue = client.models().get(key, {}).get("jobQueueStatus", {})
    return queue.get("pendingRequests", 0) > 0 or cpu_seconds(pids) - before > _MAX_IDLE_CPU_S
