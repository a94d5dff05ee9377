"""Inputs cut once and kept in memory-mapped files, so that a device never waits for a decoder.

A cache belongs to one data set and one preprocessing; its name is their hash. It can be deleted at any time. One that
is not whole yet ends in ``.partial``; whoever fills it goes on from the last hundred photographs.
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
from lightmeter.labels.datasets.dataset import Dataset, crop_of
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import Box, InvalidPhoto
from lightmeter.models.training.loader import Row, check_readable, each_photograph, unreadable
from lightmeter.project import find_optional_project

_FORMAT = 2  # of the folder; one of another format is filled anew
_INDEX, _LOCK = "index.json", "lock"
_EVERY = 100  # photographs, after which what is done is written down

Arrays = Mapping[str, NDArray[Any]]
Work = Callable[[bytes, Box | None], Arrays]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a split's photographs.

    Attributes:
        arrays: by name, each with a leading axis of photographs; memory-mapped.
        rows: of the photographs that could be read, in the arrays' order.
        unreadable: the others, with the reason.
    """

    arrays: Mapping[str, NDArray[Any]]
    rows: Sequence[Row]
    unreadable: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the inputs of some photographs, by name, copied into memory; floats have 32 bits."""
        return {name: _wide(np.asarray(values[places])) for name, values in self.arrays.items()}


def cached_inputs(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return the inputs of a split, from the cache or by decoding every photograph once.

    Args:
        predictor: that cuts.
        dataset: whose photographs are read.
        rows: of one split, at least one.
    """

    def cut(data: bytes, box: Box | None) -> Arrays:
        return predictor.preprocess(data, box).inputs

    return _cached(dataset, rows, cut, asdict(predictor.spec.preprocessing), "cutting")


def cached_activations(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return what a frozen trunk sees of a split's photographs, computed once and kept in 16 bits.

    Args:
        predictor: whose network has ``encode``.
        dataset: whose photographs are read.
        rows: of one split, at least one.
    """
    network: Any = predictor.network.eval()

    def encode(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: values.half() for name, values in network.encode(inputs).items()}

    return _cached(dataset, rows, _seen_by(predictor, encode), _eyes(predictor, "backbone."), "looking")


def cached_features(predictor: Predictor, dataset: Dataset, rows: Sequence[Row]) -> Inputs:
    """Return what the heads of a network are given for a split's photographs, computed once: ``features``.

    Args:
        predictor: whose network has ``features``, which nothing in its ``heads`` changes.
        dataset: whose photographs are read.
        rows: of one split, at least one.
    """
    network: Any = predictor.network.eval()

    def features(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"features": network.features(inputs)}

    return _cached(dataset, rows, _seen_by(predictor, features), [*_eyes(predictor, ""), "features"], "features")


def _seen_by(predictor: Predictor, look: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]) -> Work:
    """Return the work of a part of a network: it looks at one photograph at a time."""

    def work(data: bytes, box: Box | None) -> Arrays:
        with torch.inference_mode():
            found = look(predictor.tensors(predictor.preprocess(data, box)))
            return {name: values[0].cpu().numpy() for name, values in found.items()}

    return work


def _eyes(predictor: Predictor, part: str) -> list[object]:
    """Return what tells apart those who see different things in a photograph: settings, and weights but the heads'."""
    state = predictor.network.state_dict()
    seeing = hashlib.sha256()
    for name, values in state.items():
        if name.startswith(part) and not name.startswith("heads."):
            seeing.update(values.cpu().numpy().tobytes())
    return [asdict(predictor.spec.preprocessing), predictor.spec.architecture, seeing.hexdigest()]


def _cached(dataset: Dataset, rows: Sequence[Row], work: Work, settings: object, doing: str) -> Inputs:
    """Return what the work gives for each photograph, from the folder that is named after it and its settings."""
    split = rows[0]["split"]
    which = [(row["sha256"], crop_of(row)) for row in rows]
    told = [_FORMAT, dataset.spec.manifest_sha256, which, settings]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
    folder = cache_root() / f"{dataset.spec.name}-{split}-{key}"
    if not folder.exists():
        with _exclusive(folder.with_name(f"{folder.name}.partial")) as partial:
            if not folder.exists():
                _fill(partial, dataset, rows, work, f"{doing}, {split}")
                partial.rename(folder)
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    check_readable(dataset, split, index["kept"])
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in index["inputs"]}
    return Inputs(arrays, [rows[number] for number in index["kept"]], index["unreadable"])


@contextmanager
def _exclusive(partial: Path) -> Iterator[Path]:
    """Wait until no other process works in a folder, and yield it; one in which nothing was done goes."""
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back when a process ends, however it does
        partial.mkdir(exist_ok=True)  # whoever was waited for may have taken it away
        try:
            yield partial
        finally:
            if not (partial / _INDEX).exists():
                shutil.rmtree(partial, ignore_errors=True)


def _fill(partial: Path, dataset: Dataset, rows: Sequence[Row], work: Work, doing: str) -> None:
    """Fill the arrays of a folder, from where the last one who did was interrupted."""
    index: dict[str, Any] = {"inputs": [], "done": 0, "kept": [], "unreadable": []}
    if (partial / _INDEX).is_file():
        index = json.loads((partial / _INDEX).read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {name: np.load(partial / f"{name}.npy", mmap_mode="r+") for name in index["inputs"]}
    rest = rows[index["done"] :]
    for number, (row, found) in enumerate(each_photograph(dataset, rest, work, doing), index["done"]):
        if isinstance(found, InvalidPhoto):
            index["unreadable"].append(unreadable(row, found))
        else:
            arrays = arrays or _opened(partial, found, len(rows))
            for name, values in found.items():
                arrays[name][len(index["kept"])] = values
            index["kept"].append(number)
        index["done"] = number + 1
        if index["done"] % _EVERY == 0 or index["done"] == len(rows):
            for values in arrays.values():
                values.flush()
            write_atomic(partial / _INDEX, json.dumps({**index, "inputs": sorted(arrays)}))


def _opened(folder: Path, first: Arrays, count: int) -> dict[str, Any]:
    """Return writable arrays for as many photographs as there may be; those not filled stay behind the end."""
    return {
        name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=values.dtype, shape=(count, *values.shape))
        for name, values in first.items()
    }


def cache_root() -> Path:
    """Return the folder of what can be made or fetched again."""
    here = find_optional_project()
    if here:
        return here.state / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lightmeter"


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
