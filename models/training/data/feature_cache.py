"""Inputs, activations and features of photographs, computed once, so that devices need not wait.

The name of a cache contains the hash of everything that decides its content but the photographs; see
`lightmeter.models.training.data.identity`. So another target or split of the same photographs computes nothing again. A
cache can be deleted at any time.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lightmeter.cache_folder import cache_root
from lightmeter.executors.base import Executor
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training.data.array_cache import ArrayCache, Arrays
from lightmeter.models.training.data.identity import output_identity
from lightmeter.models.training.data.loader import Row, check_readable, photograph_key, unreadable
from lightmeter.models.training.data.pipeline import Waiting, each_output
from lightmeter.models.training.data.remote_outputs import each_remote_output

_FORMAT = 6  # of the folder; caches of other formats are not used
_DESCRIPTIONS: Mapping[OutputName | None, str] = {
    None: "preprocessing",
    "features": "computing features",
    "activations": "computing activations",
    "logits": "predicting",
}


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


def cached_outputs(
    predictor: Predictor,
    output: OutputName | None,
    dataset: Dataset,
    rows: Sequence[Row],
    executor: Executor | None = None,
) -> Inputs:
    """Return an output of a network for photographs, from the cache or by computing it once for each.

    Activations of a frozen backbone are kept as 16-bit floats. Features, the inputs of the linear heads, are the array
    ``features``. Logits are an array for each target.

    Args:
        predictor: Predictor of the network.
        output: What to compute; None for the inputs of the network.
        dataset: Data set with the photographs.
        rows: Manifest rows of one split, at least one.
        executor: Where missing ones are computed (default: this process).
    """
    identity = output_identity(predictor, output, executor.device if executor else None)
    content = json.dumps([_FORMAT, identity], sort_keys=True, default=str)
    folder = cache_root() / f"{output or 'inputs'}-{hashlib.sha256(content.encode()).hexdigest()[:24]}"
    keys = [_key(row) for row in rows]
    stored, waiting = ArrayCache(folder), Waiting()
    if not stored.entries.keys() >= set(keys):
        with only_process(folder.with_name(f".{folder.name}.lock")):
            stored = ArrayCache(folder)  # what another process has computed meanwhile
            missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in stored.entries}
            _compute(stored, missing, predictor, output, dataset, waiting, executor)
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
    executor: Executor | None,
) -> None:
    """Compute an output of photographs and add it to a cache; what is done is kept if it is interrupted."""
    rows = list(missing.values())
    description = f"{_DESCRIPTIONS[output]}, {rows[0]['split']}" if rows else ""
    if executor is None:
        results = each_output(predictor, output, dataset, rows, description, waiting)
    else:
        results = each_remote_output(executor, predictor, output, dataset.store, rows, description)
    try:
        for row, result in results:
            key = _key(row)
            if isinstance(result, InvalidPhoto):
                stored.add_unreadable(key, result.reason)
            else:
                kept = {name: _narrow(values, output) for name, values in result.arrays.items()}
                stored.add(key, kept, result.statistics)
    finally:
        stored.flush()


def _key(row: Row) -> str:
    return " ".join(photograph_key(row))


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
