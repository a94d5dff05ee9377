"""Photographs and labels of a data set: read from its photo store, verified, and processed on all cores."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightmeter.errors import UsageError
from lightmeter.images.geometry import Box
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import crop_of, label_column, stops_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.runtime.spec import Target
from lightmeter.terminal import console

Row = dict[str, Any]
"""A row of a data set's manifest."""

Result = TypeVar("Result")

_PENDING_PER_WORKER = 4  # more would only use memory


def each_photograph(
    dataset: Dataset, rows: Sequence[Row], function: Callable[[bytes, Box | None], Result], description: str
) -> Iterator[tuple[Row, Result | InvalidPhoto]]:
    """Apply a function to photographs in several threads and yield the results in the order of the rows.

    For a photograph that cannot be decoded the exception is yielded instead of a result.

    Args:
        dataset: Data set with the photo store.
        rows: Manifest rows of the photographs.
        function: Called with the bytes of each photograph and its crop, if it has one.
        description: Text of the progress bar.

    Raises:
        UsageError: A file is missing or has changed since the data set was frozen.
    """

    def apply(row: Row) -> Result | InvalidPhoto:
        try:
            return function(dataset.read(row["sha256"]), crop_of(row))
        except InvalidPhoto as error:
            return error

    workers = os.cpu_count() or 1
    with single_thread(), console.get_console().progress() as progress, ThreadPoolExecutor(workers) as pool:
        submitted = ((row, pool.submit(apply, row)) for row in rows)
        pending = deque(islice(submitted, workers * _PENDING_PER_WORKER))
        try:
            for _ in progress.track(rows, description=description):
                row, future = pending.popleft()
                yield row, future.result()
                pending.extend(islice(submitted, 1))
        finally:
            for _, future in pending:
                future.cancel()


def photograph_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what identifies a photograph, or a part of one, in a manifest or in predictions."""
    box = row["crop"] if "crop" in row else crop_of(row)
    return (row["sha256"], *(str(number) for number in box or ()))


def labelled(rows: Sequence[Row], targets: Sequence[TargetSpec]) -> list[Row]:
    """Return the rows with a label for at least one target."""
    return [row for row in rows if any(row[label_column(target.name)] is not None for target in targets)]


def class_numbers(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.int64]:
    """Return the class index of each row, −1 for rows without a label; shape (N,)."""
    number = {name: index for index, name in enumerate(target.classes)}
    return np.asarray([number.get(row[label_column(target.name)], -1) for row in rows], dtype=np.int64)


def class_matrix(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.float64]:
    """Return 1 for each class that a row has, else 0; NaN for rows without labels; shape (N, C)."""
    matrix = np.full((len(rows), len(target.classes)), np.nan)
    for index, row in enumerate(rows):
        classes = row[label_column(target.name)]
        if classes is not None:
            matrix[index] = [name in classes for name in target.classes]
    return matrix


def stops_of(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.float64]:
    """Return the setting of each row in stops, NaN for rows without one; shape (N,)."""
    stops = [row.get(stops_column(target.name)) for row in rows]
    return np.asarray([np.nan if value is None else value for value in stops], dtype=np.float64)


def unreadable(row: Row, reason: str) -> dict[str, Any]:
    """Return the entry of ``metrics.json`` for a photograph that cannot be decoded."""
    return {"sha256": row["sha256"], "crop": crop_of(row), "split": row["split"], "reason": reason}


def check_readable(dataset: Dataset, split: str, photographs: Sequence[object]) -> None:
    """Check that at least one photograph of a split was decoded.

    Raises:
        UsageError: There is none.
    """
    if not photographs:
        name = {"train": "training"}.get(split, split)
        raise UsageError(f"No photograph in the {name} split of {dataset.spec.name} can be read.")
