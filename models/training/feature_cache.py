"""Inputs, activations and features computed once and kept in memory-mapped files, so that devices need not wait.

A cache belongs to one data set and one set of settings; its name contains their hash. It can be deleted at any time.
An incomplete one ends in ``.partial`` and is resumed from the last checkpoint (every 100 photographs).
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.files import write_atomic
from lightmeter.geometry import Box
from lightmeter.labels.datasets.dataset import Dataset, crop_of
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.loader import Row, check_readable, each_photograph, unreadable
from lightmeter.project import find_optional_project

_FORMAT = 3  # of the folder; caches of other formats are not used
_INDEX, _LOCK = "index.json", "lock"
_CHECKPOINT_INTERVAL = 100  # photographs

Arrays = Mapping[str, NDArray[Any]]
Compute = Callable[[bytes, Box | None], Arrays]


@dataclass(frozen=True)
class Inputs:
    """Cached arrays of the photographs of a split.

    Attributes:
        arrays: Memory-mapped arrays by name, each with a leading axis of photographs.
        rows: Manifest rows of the photographs that could be decoded, in the order of the arrays.
        unreadable: The other photographs, with the reason.
    """

    arrays: Arrays
    rows: Sequence[Row]
    unreadable: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return some photographs as copies in memory; 16-bit floats become 32-bit floats."""
        taken = {name: np.asarray(values[indices]) for name, values in self.arrays.items()}
        return {
            name: values.astype(np.float32) if values.dtype == np.float16 else values for name, values in taken.items()
        }


def cached_inputs(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the network inputs of a split, from the cache or by decoding each photograph once.

    Args:
        predictor: Its preprocessing is used.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """

    def compute(data: bytes, box: Box | None) -> Arrays:
        return predictor.preprocess(data, box).inputs

    return _cached(dataset, rows, compute, asdict(predictor.spec.preprocessing), "preprocessing")


def cached_activations(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the activations of a frozen backbone, computed once and kept as 16-bit floats.

    Args:
        predictor: Its network has ``encode``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    network: Any = predictor.network.eval()

    def encode(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: values.half() for name, values in network.encode(inputs).items()}

    settings = _settings(predictor, "backbone.")
    return _cached(dataset, rows, _single_forward(predictor, encode), settings, "computing activations")


def cached_features(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the inputs of the linear heads, computed once, as the array ``features``.

    Args:
        predictor: Its network has ``features``, which does not depend on its ``heads``.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
    """
    network: Any = predictor.network.eval()

    def features(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"features": network.features(inputs)}

    settings = [*_settings(predictor, ""), "features"]
    return _cached(dataset, rows, _single_forward(predictor, features), settings, "computing features")


def cache_root() -> Path:
    """Return the folder of files that can be computed or downloaded again."""
    project = find_optional_project()
    if project:
        return project.state / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lightmeter"


def _single_forward(predictor: Predictor, forward: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]) -> Compute:
    """Return a function that applies a part of a network to one photograph at a time."""

    def compute(data: bytes, box: Box | None) -> Arrays:
        with torch.inference_mode():
            outputs = forward(predictor.tensors(predictor.preprocess(data, box)))
            return {name: values[0].cpu().numpy() for name, values in outputs.items()}

    return compute


def _settings(predictor: Predictor, prefix: str) -> list[object]:
    """Return all that determines the output of a part of a network: settings, and its weights without the heads."""
    digest = hashlib.sha256()
    for name, values in predictor.network.state_dict().items():
        if name.startswith(prefix) and not name.startswith("heads."):
            digest.update(values.cpu().numpy().tobytes())
    return [asdict(predictor.spec.preprocessing), predictor.spec.architecture, digest.hexdigest()]


def _cached(dataset: Dataset, rows: Sequence[Row], compute: Compute, settings: object, description: str) -> Inputs:
    """Return the arrays computed for each photograph, from the folder named after all that determines them."""
    split = rows[0]["split"]
    photographs = [(row["sha256"], crop_of(row)) for row in rows]
    inputs = [_FORMAT, dataset.spec.manifest_sha256, photographs, settings]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:24]
    folder = cache_root() / f"{dataset.spec.name}-{split}-{key}"
    if not folder.exists():
        with _exclusive(folder.with_name(f"{folder.name}.partial")) as partial:
            if not folder.exists():
                _fill(partial, dataset, rows, compute, f"{description}, {split}")
                partial.rename(folder)
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    check_readable(dataset, split, index["readable"])
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in index["arrays"]}
    return Inputs(arrays, [rows[number] for number in index["readable"]], index["unreadable"])


@contextmanager
def _exclusive(partial: Path) -> Iterator[Path]:
    """Yield a folder once no other process uses it; a folder in which nothing was done is deleted."""
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system when the process ends, however it ends
        partial.mkdir(exist_ok=True)  # the previous owner may have deleted it
        try:
            yield partial
        finally:
            if not (partial / _INDEX).exists():
                shutil.rmtree(partial, ignore_errors=True)


def _fill(partial: Path, dataset: Dataset, rows: Sequence[Row], compute: Compute, description: str) -> None:
    """Fill the arrays of a folder, resuming after the photographs that are done."""
    index: dict[str, Any] = {"arrays": [], "done": 0, "readable": [], "unreadable": []}
    if (partial / _INDEX).is_file():
        index = json.loads((partial / _INDEX).read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {name: np.load(partial / f"{name}.npy", mmap_mode="r+") for name in index["arrays"]}
    results = each_photograph(dataset, rows[index["done"] :], compute, description)
    for number, (row, result) in enumerate(results, index["done"]):
        if isinstance(result, InvalidPhoto):
            index["unreadable"].append(unreadable(row, result))
        else:
            arrays = arrays or _create_arrays(partial, result, len(rows))
            for name, values in result.items():
                arrays[name][len(index["readable"])] = values
            index["readable"].append(number)
        index["done"] = number + 1
        if index["done"] % _CHECKPOINT_INTERVAL == 0 or index["done"] == len(rows):
            for values in arrays.values():
                values.flush()
            write_atomic(partial / _INDEX, json.dumps({**index, "arrays": sorted(arrays)}))


def _create_arrays(folder: Path, first: Arrays, count: int) -> dict[str, Any]:
    """Return writable arrays for all photographs; entries of unreadable ones stay unused at the end."""
    arrays = {
        name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=values.dtype, shape=(count, *values.shape))
        for name, values in first.items()
    }
    for name in arrays:
        with (folder / f"{name}.npy").open("r+b") as file:  # a disk that is full later would kill the process (SIGBUS)
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return arrays
