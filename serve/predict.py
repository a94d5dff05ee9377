"""Ask a running server about files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lightmeter import console
from lightmeter.errors import UsageError
from lightmeter.models.evaluation.exif_file import told_of
from lightmeter.models.runtime.exif_features import Tags
from lightmeter.plugins import unknown_name_message
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve.server import connect
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState

_AT_A_TIME = 8


def predict_files(
    place: ServerDirectory, name: str, files: Sequence[Path], version: str | None = None, exif: Path | None = None
) -> list[dict[str, Any]]:
    """Return one answer a file, in their order.

    Args:
        place: the server's folder.
        name: the model.
        files: photographs.
        version: of the model; else the default one.
        exif: JSON file of tags that are told beside them.

    Raises:
        UsageError: if there is no such model, version or file.
        LightmeterError: if the server does not run or does not answer.
    """
    state = connect(place)
    _check(state, name, version)
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}.")
    told = told_of(exif, files)
    with (
        Client(place, state) as client,
        ThreadPoolExecutor(_AT_A_TIME) as pool,
        console.get_console().progress() as progress,
    ):
        asked = pool.map(lambda file, tags: _answer(client, name, version, file, tags), files, told)
        return list(progress.track(asked, total=len(files), description="photographs"))


def _answer(client: Client, name: str, version: str | None, file: Path, exif: Tags | None) -> dict[str, Any]:
    return {"file": str(file), **client.predict(name, file.read_bytes(), version, exif)}


def _check(state: ServerState, name: str, version: str | None) -> None:
    versions: dict[str, list[str]] = {}
    for model in state.models:
        versions.setdefault(model.name, []).append(model.version)
    if name not in versions:
        raise UsageError(unknown_name_message("model", name, versions))
    if version is not None and version not in versions[name]:
        raise UsageError(unknown_name_message(f"version of {name}", version, versions[name]))
