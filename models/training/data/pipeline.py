"""Photographs of a data set through a network, decoded ahead of it on all cores, so that the network need not wait.

A network on the CPU takes most of the time itself, so threads decode, in between. A GPU takes more photographs than
one interpreter can decode, so processes do.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.errors import LightmeterError
from lightmeter.labels.datasets.dataset import Dataset, read_photograph
from lightmeter.labels.datasets.manifest import crop_of
from lightmeter.models.runtime.engines.outputs import OutputName
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.input_warnings import image_statistics
from lightmeter.models.runtime.predictor import Predictor, split, stack
from lightmeter.models.runtime.preprocess import InvalidPhoto, preprocess
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training.data.loader import Row
from lightmeter.store.base import PhotoStore
from lightmeter.terminal import console

_PENDING_PER_THREAD = 4  # batches; more would only use memory
_DECODED_TOGETHER = 8  # photographs of a batch that a process decodes


@dataclass(frozen=True)
class Computed:
    """An output of a network for a photograph.

    Attributes:
        statistics: The statistics of the photograph.
        arrays: The output; the inputs of the network, if no output was asked for.
    """

    statistics: Mapping[str, float]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Decoded:
    """Decoded photographs.

    Attributes:
        results: The statistics of each photograph, or why it cannot be used.
        inputs: Inputs of the network for the usable ones, by name; empty if there are none.
    """

    results: list[Mapping[str, float] | InvalidPhoto]
    inputs: dict[str, Tensor]


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
        LightmeterError: A process that decodes photographs was killed.
    """
    decode = partial(_decode, dataset.store, predictor.spec.preprocessing)

    def compute(futures: Sequence[Future[_Decoded]]) -> list[Computed | InvalidPhoto]:
        start = time.perf_counter()
        parts = [future.result() for future in futures]
        decoded = time.perf_counter()
        results = _compute(predictor, output, parts)
        if waiting:
            waiting.add(decoded - start, time.perf_counter() - start)
        return results

    def decoded(batch: Sequence[Row]) -> list[Future[_Decoded]]:
        return [decoding.submit(decode, part) for part in _chunks(batch, _DECODED_TOGETHER)]

    with (
        single_thread(),
        console.get_console().progress() as progress,
        _decoding_pool(predictor, len(rows)) as decoding,
        ThreadPoolExecutor(predictor.threads) as computing,
    ):
        submitted = (
            (batch, computing.submit(compute, decoded(batch))) for batch in _chunks(rows, predictor.batch_size)
        )
        pending = deque(islice(submitted, predictor.threads * _PENDING_PER_THREAD))
        try:
            task = progress.add_task(description, total=len(rows))
            while pending:
                batch, future = pending.popleft()
                yield from zip(batch, future.result(), strict=True)
                pending.extend(islice(submitted, 1))
                progress.advance(task, len(batch))
        except BrokenExecutor as error:
            raise LightmeterError(
                "A process that decodes photographs was killed; give it more memory, or a container more shared memory."
            ) from error
        finally:
            for _, future in pending:
                future.cancel()
            decoding.shutdown(wait=False, cancel_futures=True)


def compute_outputs(
    predictor: Predictor, output: OutputName | None, store: PhotoStore, rows: Sequence[Row]
) -> list[Computed | InvalidPhoto]:
    """Return an output of a network for a few photographs, computed one after another on a CPU and together on a GPU.

    For a photograph that cannot be decoded or used the list has the exception.

    Args:
        predictor: Predictor of the network.
        output: What to compute; None for the inputs of the network.
        store: Store of the photographs.
        rows: Manifest rows of the photographs.

    Raises:
        UsageError: A file is missing or has changed since the data set was frozen.
    """
    decode = partial(_decode, store, predictor.spec.preprocessing)
    if predictor.batch_size == 1:
        return [result for row in rows for result in _compute(predictor, output, [decode([row])])]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return _compute(predictor, output, list(threads.map(decode, _chunks(rows, 1))))


def _decoding_pool(predictor: Predictor, photographs: int) -> Executor:
    cores = os.cpu_count() or 1
    if predictor.batch_size == 1:
        return ThreadPoolExecutor(cores)
    processes = min(cores, -(-photographs // _DECODED_TOGETHER))
    # Forked, as the workers of PyTorch's data loaders are: they neither import anything nor touch the GPU.
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(max(1, processes), context, signal.signal, (signal.SIGINT, signal.SIG_IGN))


def _decode(store: PhotoStore, settings: Preprocessing, rows: Sequence[Row]) -> _Decoded:
    """Decode photographs; tensors travel between processes in shared memory."""
    results: list[Mapping[str, float] | InvalidPhoto] = []
    usable = []
    for row in rows:
        try:
            photo = preprocess(read_photograph(store, row["sha256"]), settings, crop_of(row))
        except InvalidPhoto as error:
            results.append(error)
        else:
            usable.append(photo)
            results.append(image_statistics(photo))
    return _Decoded(results, {name: torch.from_numpy(array) for name, array in stack(usable).items()} if usable else {})


def _compute(
    predictor: Predictor, output: OutputName | None, parts: Sequence[_Decoded]
) -> list[Computed | InvalidPhoto]:
    usable = [part.inputs for part in parts if part.inputs]
    outputs: Iterator[dict[str, NDArray[Any]] | InvalidPhoto] = iter(())
    if usable:
        inputs = {name: _joined([part[name] for part in usable], predictor.device) for name in usable[0]}
        outputs = iter(predictor.outputs(output, inputs) if output else split(inputs))

    def result(statistics: Mapping[str, float] | InvalidPhoto) -> Computed | InvalidPhoto:
        if isinstance(statistics, InvalidPhoto):
            return statistics
        arrays = next(outputs)
        return arrays if isinstance(arrays, InvalidPhoto) else Computed(statistics, arrays)

    return [result(statistics) for part in parts for statistics in part.results]


def _joined(parts: Sequence[Tensor], device: torch.device) -> NDArray[Any]:
    """Return the inputs of a batch as one array, for a GPU in memory that it reads while the processor goes on."""
    if len(parts) == 1 and device.type != "cuda":
        return parts[0].numpy()
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    joined = torch.empty(shape, dtype=parts[0].dtype, pin_memory=device.type == "cuda")
    return torch.cat(list(parts), out=joined).numpy()


def _chunks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
