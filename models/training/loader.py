"""The photographs of a data set, read from its store, checked, and worked on by all cores."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightmeter import console
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, TargetSpec, crop_of, label_column, stops_column
from lightmeter.models.runtime.predictor import single_thread
from lightmeter.models.runtime.preprocess import Box, InvalidPhoto
from lightmeter.models.runtime.spec import Target

Row = dict[str, Any]
Result = TypeVar("Result")

_AHEAD = 4  # photographs under way for each worker; more would only fill memory


def each_photograph(
    dataset: Dataset, rows: Sequence[Row], work: Callable[[bytes, Box | None], Result], doing: str
) -> Iterator[tuple[Row, Result | InvalidPhoto]]:
    """Work on photographs in several threads, and yield the results in the rows' order.

    A photograph that cannot be read gives its error instead of a result; the others go on.

    Args:
        dataset: whose store holds them.
        rows: of its manifest.
        work: what is done with the bytes of each, and the box of the part that is meant.
        doing: what the progress bar says.

    Raises:
        UsageError: if a file is missing, or is not the one that was frozen.
    """

    def one(row: Row) -> Result | InvalidPhoto:
        try:
            return work(_bytes(dataset, row), crop_of(row))
        except InvalidPhoto as error:
            return error

    workers = os.cpu_count() or 1
    with single_thread(), console.get_console().progress() as progress, ThreadPoolExecutor(workers) as pool:
        task = progress.add_task(doing, total=len(rows))
        waiting = iter(rows)
        under_way = [(row, pool.submit(one, row)) for row in islice(waiting, workers * _AHEAD)]
        try:
            while under_way:
                row, result = under_way.pop(0)
                yield row, result.result()
                progress.advance(task)
                under_way += [(row, pool.submit(one, row)) for row in islice(waiting, 1)]
        finally:
            _cancel(under_way)


def photograph_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells a photograph, or a part of one, from all others, in a manifest as in predictions."""
    box = row["crop"] if "crop" in row else crop_of(row)
    return (row["sha256"], *(str(number) for number in box or ()))


def labelled(rows: Sequence[Row], targets: Sequence[TargetSpec]) -> list[Row]:
    """Return the rows that have a label for at least one target."""
    return [row for row in rows if any(row[label_column(target.name)] is not None for target in targets)]


def class_numbers(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.int64]:
    """Return the index of each row's class, −1 where it has none."""
    number = {name: index for index, name in enumerate(target.classes)}
    return np.asarray([number.get(row[label_column(target.name)], -1) for row in rows], dtype=np.int64)


def class_sets(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.float64]:
    """Return which classes each row has, where there can be several, shape (N, C); NaN where it is not labelled."""
    sets = np.full((len(rows), len(target.classes)), np.nan)
    for place, row in enumerate(rows):
        having = row[label_column(target.name)]
        if having is not None:
            sets[place] = [name in having for name in target.classes]
    return sets


def stops_of(rows: Sequence[Row], target: TargetSpec | Target) -> NDArray[np.float64]:
    """Return each row's setting in stops, NaN where it has none."""
    found = [row.get(stops_column(target.name)) for row in rows]
    return np.asarray([np.nan if value is None else value for value in found], dtype=np.float64)


def unreadable(row: Row, error: InvalidPhoto) -> dict[str, Any]:
    """Return what the metrics say of a photograph that cannot be read."""
    return {"sha256": row["sha256"], "crop": crop_of(row), "split": row["split"], "reason": error.reason}


def check_readable(dataset: Dataset, split: str, kept: Sequence[object]) -> None:
    """Make sure that of a split at least one photograph was read.

    Raises:
        UsageError: if none was.
    """
    if not kept:
        name = {"train": "training"}.get(split, split)
        raise UsageError(f"No photograph in the {name} split of {dataset.spec.name} can be read.")


def _bytes(dataset: Dataset, row: Row) -> bytes:
    file = dataset.store / row["path"]
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(
            f"The photograph {file} of the data set {dataset.spec.name} cannot be read ({error.strerror}); "
            "is the photo store where it was when the data set was frozen?"
        ) from error
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise UsageError(f"The photograph {file} is not the one that was frozen; its bytes have changed.")
    return data


def _cancel(under_way: Sequence[tuple[Row, "Future[Any]"]]) -> None:
    for _, future in under_way:
        future.cancel()
