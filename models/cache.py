"""Inputs cut once and kept in memory-mapped files, so that a device never waits for a decoder.

A cache belongs to one data set and one preprocessing; its name is their hash. It can be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from labels.dataset import DataSet, crop_of
from lightmeter import project
from models.data import Row, check_readable, each_photograph, unreadable
from models.predictor import Predictor
from models.preprocess import Box, PhotographError

_FORMAT = 2  # of the folder; one of another format is filled anew
_INDEX = "index.json"

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


def cut_once(predictor: Predictor, dataset: DataSet, rows: Sequence[Row]) -> Inputs:
    """Return the inputs of a split, from the cache or by decoding every photograph once.

    Args:
        predictor: that cuts.
        dataset: whose photographs are read.
        rows: of one split, at least one.
    """

    def cut(data: bytes, box: Box | None) -> Arrays:
        return predictor.read(data, box).inputs

    return _kept(dataset, rows, cut, asdict(predictor.spec.preprocessing), "cutting")


def encode_once(predictor: Predictor, dataset: DataSet, rows: Sequence[Row]) -> Inputs:
    """Return what a frozen trunk sees of a split's photographs, computed once and kept in 16 bits.

    Args:
        predictor: whose network has ``encode``.
        dataset: whose photographs are read.
        rows: of one split, at least one.
    """
    network, spec = predictor.network.eval(), predictor.spec
    state = network.get_submodule("trunk").state_dict()
    trunk = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for value in state.values())).hexdigest()

    def encode(data: bytes, box: Box | None) -> Arrays:
        with torch.inference_mode():
            found = network.encode(predictor.tensors(predictor.read(data, box)))  # type: ignore[operator]
        return {name: values[0].half().cpu().numpy() for name, values in found.items()}

    told = [asdict(spec.preprocessing), spec.architecture, trunk]
    return _kept(dataset, rows, encode, told, "looking")


def _kept(dataset: DataSet, rows: Sequence[Row], work: Work, settings: object, doing: str) -> Inputs:
    """Return what the work gives for each photograph, from the folder that is named after it and its settings."""
    split = rows[0]["split"]
    which = [(row["sha256"], crop_of(row)) for row in rows]
    told = [_FORMAT, dataset.spec.manifest_sha256, which, settings]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
    folder = cache_root() / f"{dataset.spec.name}-{split}-{key}"
    if not folder.exists():
        _fill(folder, dataset, rows, work, f"{doing}, {split}")
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    check_readable(dataset, split, index["kept"])
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in index["inputs"]}
    return Inputs(arrays, [rows[number] for number in index["kept"]], index["unreadable"])


def _fill(folder: Path, dataset: DataSet, rows: Sequence[Row], work: Work, doing: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        arrays: dict[str, Any] = {}
        kept: list[int] = []
        broken = []
        for number, (row, found) in enumerate(each_photograph(dataset, rows, work, doing)):
            if isinstance(found, PhotographError):
                broken.append(unreadable(row, found))
                continue
            arrays = arrays or _opened(temporary, found, len(rows))
            for name, values in found.items():
                arrays[name][len(kept)] = values
            kept.append(number)
        for values in arrays.values():
            values.flush()
        index = {"inputs": sorted(arrays), "kept": kept, "unreadable": broken}
        (temporary / _INDEX).write_text(json.dumps(index), "utf-8")
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _opened(folder: Path, first: Arrays, count: int) -> dict[str, Any]:
    """Return writable arrays for as many photographs as there may be; those not filled stay behind the end."""
    return {
        name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=values.dtype, shape=(count, *values.shape))
        for name, values in first.items()
    }


def cache_root() -> Path:
    """Return the folder of what can be made or fetched again."""
    here = project.find_if_any()
    if here:
        return here.state / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lightmeter"


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
