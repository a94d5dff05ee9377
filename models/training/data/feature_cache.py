"""Inputs, activations and features of photographs, computed once, so that devices need not wait.

The name of a cache contains the hash of everything that decides its content but the photographs: preprocessing, the
architecture with its options and its code, the weights, the engine, and the versions of the packages that compute it.
So another target or split of the same photographs computes nothing again. A cache can be deleted at any time.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.cache_folder import cache_root
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.architectures import get_builder
from lightmeter.models.runtime.engines import engine_version
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.data.array_cache import ArrayCache, Arrays
from lightmeter.models.training.data.loader import Row, check_readable, photograph_key, unreadable
from lightmeter.models.training.data.pipeline import Waiting, each_output

_FORMAT = 6  # of the folder; caches of other formats are not used
_DESCRIPTIONS: Mapping[OutputName | None, str] = {
    None: "preprocessing",
    "features": "computing features",
    "activations": "computing activations",
}
_ENGINE_PACKAGES = ("pillow", "numpy", "torch", "timm")


@dataclass(frozen=True)
class Inputs:
    """Cached arrays of photographs.

    Attributes:
        arrays: Memory-mapped arrays by name, each with a leading axis of all photographs in the cache.
        positions: Index of each photograph in the arrays.
        rows: Manifest rows of the photographs that could be decoded, in the order of the positions.
        statistics: Image statistics of the same photographs.
        unreadable: The other photographs, with the reason.
        waiting_share: Share of the time in which the network waited for photographs; 0 if nothing was computed.
    """

    arrays: Arrays
    positions: NDArray[np.int64]
    rows: Sequence[Row]
    statistics: Sequence[Mapping[str, float]]
    unreadable: list[dict[str, Any]]
    waiting_share: float = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """The size of all photographs as `take` returns them, of 16-bit floats half of it."""
        return sum(len(self) * values[:1].nbytes for values in self.arrays.values())

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return some photographs as copies in memory; 16-bit floats become 32-bit floats."""
        taken = {name: np.asarray(values[self.positions[indices]]) for name, values in self.arrays.items()}
        return {
            name: values.astype(np.float32) if values.dtype == np.float16 else values for name, values in taken.items()
        }

    def all(self) -> dict[str, NDArray[Any]]:
        """Return all photographs as copies in memory."""
        return self.take(np.arange(len(self)))


def cached_inputs(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the network inputs of photographs, from the cache or by decoding each once.

    Args:
        predictor: Its preprocessing is used.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    return _cached(predictor, None, dataset, rows, input_identity(predictor))


def cached_activations(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the activations of a frozen backbone, computed once and kept as 16-bit floats.

    Args:
        predictor: Its network has ``encode``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    identity = output_identity(predictor, "activations", lambda name: "backbone" in name.partition(".")[0])
    return _cached(predictor, "activations", dataset, rows, identity)


def cached_features(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the inputs of the linear heads, computed once, as the array ``features``.

    Args:
        predictor: Its network has ``features``, which does not depend on its ``heads``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    identity = output_identity(predictor, "features", lambda name: not name.startswith("heads."))
    return _cached(predictor, "features", dataset, rows, identity)


def input_identity(predictor: Predictor) -> dict[str, Any]:
    """Return everything that decides the inputs of a network for a photograph."""
    return {
        "preprocessing": asdict(predictor.spec.preprocessing),
        "packages": {name: _version(name) for name in ("lightmeter", *_ENGINE_PACKAGES)},
    }


def output_identity(predictor: Predictor, output: OutputName, used: Callable[[str], bool]) -> dict[str, Any]:
    """Return everything that decides an output of a network for a photograph.

    Args:
        predictor: Predictor of the network.
        output: Name of the output.
        used: Whether the output depends on the parameter or buffer of a name.
    """
    spec = predictor.spec
    state = {name: values for name, values in predictor.network.state_dict().items() if used(name)}
    return {
        **input_identity(predictor),
        "output": output,
        "architecture": [spec.architecture, dict(spec.architecture_options), builder_version(spec.architecture)],
        "weights": state_sha256(state),
        "device": predictor.device.type,
        "engine": engine_version(predictor.engine),
    }


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return a hash of tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, values in state.items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def builder_version(architecture: str) -> list[str]:
    """Return what identifies the code of an architecture: the versions of its packages, and the hash of its source."""
    plugins = entry_points(group="lightmeter.architectures", name=architecture)
    versions = [f"{plugin.dist.name} {plugin.dist.version}" for plugin in plugins if plugin.dist]
    return [*versions, _source_sha256(get_builder(architecture))]


@cache
def _source_sha256(builder: Callable[..., Any]) -> str:
    """Return the hash of the package folder, or of the file, that defines a builder; empty if there is no source."""
    module = inspect.getmodule(builder)
    try:
        file = Path(inspect.getsourcefile(builder) or "")
        files = sorted(file.parent.glob("*.py")) if module and module.__package__ else [file]
        return hashlib.sha256(b"".join(source.read_bytes() for source in files)).hexdigest()
    except (OSError, TypeError):
        return ""


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cached(
    predictor: Predictor,
    output: OutputName | None,
    dataset: Dataset,
    rows: Sequence[Row],
    identity: Mapping[str, Any],
) -> Inputs:
    """Return an output of each photograph from the folder named after all that determines it, or compute it."""
    content = json.dumps([_FORMAT, identity], sort_keys=True, default=str)
    folder = cache_root() / f"{output or 'inputs'}-{hashlib.sha256(content.encode()).hexdigest()[:24]}"
    keys = [" ".join(photograph_key(row)) for row in rows]
    stored, waiting = ArrayCache(folder), Waiting()
    if not stored.entries.keys() >= set(keys):
        with only_process(folder.with_name(f".{folder.name}.lock")):
            stored = ArrayCache(folder)  # what another process has computed meanwhile
            missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in stored.entries}
            _compute(stored, missing, predictor, output, dataset, waiting)
    split = rows[0]["split"]
    entries = [stored.entries[key] for key in keys]
    readable = [index for index, entry in enumerate(entries) if entry.position >= 0]
    check_readable(dataset, split, readable)
    return Inputs(
        stored.arrays(keys),
        np.asarray([entries[index].position for index in readable], np.int64),
        [rows[index] for index in readable],
        [entries[index].statistics for index in readable],
        [unreadable(row, entry.reason) for row, entry in zip(rows, entries, strict=True) if entry.position < 0],
        waiting.share,
    )


def _compute(
    stored: ArrayCache,
    missing: Mapping[str, Row],
    predictor: Predictor,
    output: OutputName | None,
    dataset: Dataset,
    waiting: Waiting,
) -> None:
    """Compute an output of photographs and add it to a cache; what is done is kept if it is interrupted."""
    rows = list(missing.values())
    description = f"{_DESCRIPTIONS[output]}, {rows[0]['split']}" if rows else ""
    try:
        results = each_output(predictor, output, dataset, rows, description, waiting)
        for key, (_, result) in zip(missing, results, strict=True):
            if isinstance(result, InvalidPhoto):
                stored.add_unreadable(key, result.reason)
            else:
                kept = {name: _narrow(values, output) for name, values in result.arrays.items()}
                stored.add(key, kept, result.statistics)
    finally:
        stored.flush()


def _narrow(values: NDArray[Any], output: OutputName | None) -> NDArray[Any]:
    return values.astype(np.float16) if output == "activations" else values


@contextmanager
def only_process(file: Path) -> Iterator[None]:
    """Wait until no other process runs the block.

    Args:
        file: Lock file; deleted afterwards.
    """
    with FileLock(file):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)  # processes that wait for the deleted file notice and create it anew
