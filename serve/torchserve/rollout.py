"""Put a new version of a model in the place of the old one, without a request that fails."""

import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve.archive import check_archive
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve import processes
from lightmeter.serve.torchserve.config import ANSWER_TIMEOUT_S
from lightmeter.serve.torchserve.diagnosis import diagnose_worker
from lightmeter.serve.torchserve.server import connect
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory, ServerState
from lightmeter.settings import ServeSection

_LOOK_S = 1.0
_REST_S = 0.02  # a worker that waits computes nothing


def rollout(place: ServerDirectory, settings: ServeSection, archive: Path, *, keep: bool) -> ServerState:
    """Load a new version, send requests to it, and then retire the version they went to before.

    Args:
        place: the server's folder.
        settings: how many workers it gets, and so on.
        archive: of the new version.
        keep: whether the old version stays, at its own address.

    Raises:
        UsageError: if the server was not started for this, or the version is served already.
        LightmeterError: if the new version does not load; the old one is served as before.
    """
    state = connect(place)
    checked = check_archive(archive)
    new = ServedModel(checked.name, checked.version, f"{checked.name}-{checked.version}.mar", checked.sha256)
    _check(state, new)
    shutil.copyfile(archive, place.archives / new.archive)
    with Client(place, state) as client:
        _register(client, place, new, settings)
        client.make_default(new.name, new.version)
        old = [model for model in state.models if model.name == new.name and not keep]
        for model in old:
            _unregister_when_idle(client, model)
    rest = [model for model in state.models if model not in old]
    rolled = replace(state, models=(*rest, new))
    place.write(rolled)
    return rolled


def _check(state: ServerState, new: ServedModel) -> None:
    if not state.model_api:
        raise UsageError("This server takes no new models; stop it and start it with 'serve start --model-api'.")
    if any((model.name, model.version) == (new.name, new.version) for model in state.models):
        raise UsageError(
            f"Version {new.version} of {new.name} is served already; archive the new one with another --version."
        )


def _register(client: Client, place: ServerDirectory, new: ServedModel, settings: ServeSection) -> None:
    """Load the new version, or leave no trace of it and say why it does not load."""
    try:
        client.register(new.archive, settings)
    except LightmeterError as error:
        (place.archives / new.archive).unlink()
        reason = diagnose_worker(place, re.escape(f"{new.name}_{new.version}"))
        raise LightmeterError(reason or str(error)) from error


def _unregister_when_idle(client: Client, model: ServedModel) -> None:
    """Remove a version when nothing waits for it and its workers have rested for a while.

    TorchServe tells how many requests wait, but not whether a worker is at one, and what it is at would get no answer.
    """
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while _is_busy(client, model):
        if time.monotonic() > deadline:
            raise LightmeterError(f"Version {model.version} of {model.name} is still asked for; it is served on.")
    client.unregister(model.name, model.version)


def _is_busy(client: Client, model: ServedModel) -> bool:
    """Look at a version for a while, and tell whether it had anything to do."""
    described = client.described(model.name, model.version)
    pids = [worker["pid"] for worker in described.get("workers", ())]
    before = processes.cpu_seconds(pids)
    time.sleep(_LOOK_S)
    pending = client.described(model.name, model.version).get("jobQueueStatus", {}).get("pendingRequests", 0)
    return pending > 0 or processes.cpu_seconds(pids) - before > _REST_S
