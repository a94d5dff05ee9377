"""Photographs of a data set through a network, decoded ahead of it in threads, so that the network need not wait."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from lightmeter import console
from lightmeter.labels.datasets.dataset import Dataset, crop_of
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto, ModelInput
from lightmeter.models.training.data.loader import Row

_PENDING_PER_THREAD = 4  # more would only use memory


@dataclass(frozen=True)
class Computed:
    """An output of a network for a photograph.

    Attributes:
        photo: The preprocessed photograph.
        arrays: The output; the inputs of the network, if no output was asked for.
    """

    photo: ModelInput
    arrays: dict[str, NDArray[Any]]


@dataclass
class Waiting:
    """The time in which the network waited for photographs.

    Attributes:
        seconds: Sum over the threads of the network.
        available: Sum of their time, waiting or not.
    """

    seconds: float = 0.0
    available: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def share(self) -> float:
        """The share of the time in which the network waited."""
        return self.seconds / self.available if self.available else 0.0

    def add(self, waited: float, total: float) -> None:
        """Add the time of a step."""
        with self._lock:
            self.seconds += waited
            self.available += total


def each_output(
    predictor: Predictor,
    output: OutputName | None,
    dataset: Dataset,
    rows: Sequence[Row],
    description: str,
    waiting: Waiting | None = None,
) -> Iterator[tuple[Row, Computed | InvalidPhoto]]:
    """Yield an output of a network for each photograph, in the order of the rows.

    On a CPU each photograph is a forward pass of its own; on a GPU, batches are. For a photograph that cannot be
    decoded or used the exception is yielded.

    Args:
        predictor: Predictor of the network.
        output: What to compute; None for the inputs of the network.
        dataset: Data set with the photo store.
        rows: Manifest rows of the photographs.
        description: Text of the progress bar.
        waiting: Receives the time in which the network waited.

    Raises:
        UsageError: A file is missing or has changed since the data set was frozen.
    """

    def decode(row: Row) -> ModelInput | InvalidPhoto:
        try:
            return predictor.preprocess(dataset.read(row["sha256"]), crop_of(row))
        except InvalidPhoto as error:
            return error

    def compute(futures: Sequence[Future[ModelInput | InvalidPhoto]]) -> list[Computed | InvalidPhoto]:
        start = time.perf_counter()
        photographs = [future.result() for future in futures]
        decoded = time.perf_counter()
        results = _compute(predictor, output, photographs)
        if waiting:
            waiting.add(decoded - start, time.perf_counter() - start)
        return results

    chunks = [rows[start : start + predictor.batch_size] for start in range(0, len(rows), predictor.batch_size)]
    cores = os.cpu_count() or 1
    with (
        single_thread(),
        console.get_console().progress() as progress,
        ThreadPoolExecutor(cores) as decoding,
        ThreadPoolExecutor(predictor.threads) as computing,
    ):
        submitted = (
            (chunk, computing.submit(compute, [decoding.submit(decode, row) for row in chunk])) for chunk in chunks
        )
        pending = deque(islice(submitted, predictor.threads * _PENDING_PER_THREAD))
        try:
            task = progress.add_task(description, total=len(rows))
            while pending:
                chunk, future = pending.popleft()
                yield from zip(chunk, future.result(), strict=True)
                pending.extend(islice(submitted, 1))
                progress.advance(task, len(chunk))
        finally:
            for _, future in pending:
                future.cancel()
            decoding.shutdown(wait=False, cancel_futures=True)


def _compute(
    predictor: Predictor, output: OutputName | None, photographs: Sequence[ModelInput | InvalidPhoto]
) -> list[Computed | InvalidPhoto]:
    usable = [photo for photo in photographs if isinstance(photo, ModelInput)]
    outputs = iter(predictor.outputs(output, usable) if output else [dict(photo.inputs) for photo in usable])

    def result(photo: ModelInput | InvalidPhoto) -> Computed | InvalidPhoto:
        if isinstance(photo, InvalidPhoto):
            return photo
        arrays = next(outputs)
        return arrays if isinstance(arrays, InvalidPhoto) else Computed(photo, arrays)

    return [result(photo) for photo in photographs]
