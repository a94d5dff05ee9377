"""Training data as a PyTorch data set: batches of inputs together with their labels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightmeter.errors import UsageError
from lightmeter.labels.datasets import dataset as datasets
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training import distributed
from lightmeter.models.training.data.feature_cache import Inputs
from lightmeter.models.training.data.loader import Row, class_matrix, class_numbers, stops_of
from lightmeter.text.numbers import counted

_MIN_PER_PROCESS = 2  # batch normalisation needs two photographs
_GPU_WORKERS = 2
_COPIED_TOGETHER = 1000  # photographs


class Batch(NamedTuple):
    """A batch of N photographs.

    Attributes:
        inputs: Inputs of the network by name, each with a leading axis of N.
        classes: By target: class index, −1 if unlabelled, shape (N,); for multilabel targets 1 or 0 for each class, NaN
            if unlabelled, shape (N, C).
        stops: By target: setting in stops, NaN if unlabelled, shape (N,).
    """

    inputs: dict[str, Tensor]
    classes: dict[str, Tensor]
    stops: dict[str, Tensor]


class PhotoDataset(Dataset[Batch]):
    """The photographs of a split; an index is an array, so that a batch is read at once.

    Args:
        inputs: Cached inputs of the photographs.
        targets: Targets of the model.
    """

    def __init__(self, inputs: Inputs, targets: Sequence[Target]) -> None:
        self.inputs = inputs
        self.classes = {target.name: _classes(inputs, target) for target in targets}
        self.stops = {target.name: torch.from_numpy(stops_of(inputs.rows, target)).float() for target in targets}

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: NDArray[np.int64]) -> Batch:
        inputs = {name: torch.from_numpy(values) for name, values in self.inputs.take(index).items()}
        return Batch(inputs, *self.labels(index))

    def labels(self, index: NDArray[np.int64]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return classes and stops of some photographs, as in `Batch`."""
        classes, stops = (
            {name: values[index] for name, values in labels.items()} for labels in (self.classes, self.stops)
        )
        return classes, stops


class ShuffledBatches(Sampler[NDArray[np.int64]]):
    """This process's share of each batch of a shuffled epoch.

    A last batch that is too small is left out, other photographs in each epoch.

    Attributes:
        seed: Seed of the next epoch.
    """

    def __init__(self, length: int, batch_size: int) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        least = _MIN_PER_PROCESS * distributed.world_size()
        full, rest = divmod(self.length, self.batch_size)
        return full * (self.batch_size >= least) + (rest >= least)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng(self.seed).permutation(self.length)
        world = distributed.world_size()
        for batch in _chunks(order, self.batch_size):
            if len(batch) >= _MIN_PER_PROCESS * world:
                yield batch[distributed.rank() :: world]


class ShardBatches(ShuffledBatches):
    """Batches of this process's own shards, as many as every other process has.

    In each epoch every process reads as many of its photographs as the process with the fewest has; others are left out
    in each epoch.

    Args:
        length: Number of this process's photographs.
        shortest: Number of photographs of the process with the fewest.
        batch_size: Photographs in a batch of all processes.
    """

    def __init__(self, length: int, shortest: int, batch_size: int) -> None:
        super().__init__(length, max(1, batch_size // distributed.world_size()))
        self.shortest = shortest

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.shortest, self.batch_size)
        return full * (self.batch_size >= _MIN_PER_PROCESS) + (rest >= _MIN_PER_PROCESS)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng([self.seed, distributed.rank()]).permutation(self.length)
        batches = _chunks(order[: self.shortest], self.batch_size)
        yield from (batch for batch in batches if len(batch) >= _MIN_PER_PROCESS)


def epoch_batches(length: int, batch_size: int, *, shards: bool) -> ShuffledBatches:
    """Return the batches of an epoch for this process.

    Args:
        length: Number of photographs that this process has.
        batch_size: Photographs in a batch of all processes.
        shards: Whether these are the photographs of its own shards; else all processes have all photographs.

    Raises:
        UsageError: There is not one batch with two photographs for each process.
    """
    shortest = min(distributed.gather(length))
    batches = ShardBatches(length, shortest, batch_size) if shards else ShuffledBatches(length, batch_size)
    if not len(batches):
        processes = counted(distributed.world_size(), "process", "processes")
        raise UsageError(
            f"No batch of {batch_size} has two photographs for each of {processes}; "
            "use more photographs, larger batches (--set batch_size=…) or fewer processes."
        )
    return batches


def own_rows(dataset: datasets.Dataset, rows: Sequence[Row]) -> list[Row] | None:
    """Return the rows of this process's shards, such as tar files of a pack, each of which one process reads.

    Large shards are assigned first, each to the process with the fewest photographs.

    Args:
        dataset: Data set with the photo store.
        rows: Manifest rows of the training split.

    Returns:
        The rows; None if there is one process, or photographs are in files of their own.

    Raises:
        UsageError: There are more processes than shards.
    """
    processes = distributed.world_size()
    shards = [dataset.store.pack_file(row["sha256"]) for row in rows] if processes > 1 else []
    sizes = Counter(shard for shard in shards if shard is not None)
    if not shards or sizes.total() < len(rows):
        return None
    if len(sizes) < processes:
        raise UsageError(
            f"The training photographs of {dataset.spec.name} are in {counted(len(sizes), 'shard')}, too few for "
            f"{processes} processes; start fewer, or pack the data set with smaller shards (labels pack --shard-mb)."
        )
    owners, loads = {}, [0] * processes
    for shard, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        owners[shard] = loads.index(min(loads))
        loads[owners[shard]] += size
    return [row for row, shard in zip(rows, shards, strict=True) if shard and owners[shard] == distributed.rank()]


class DeviceBatches:
    """Batches of inputs that are all in the memory of a GPU, so that nothing is read or copied while it computes.

    Args:
        dataset: The photographs.
        indices: The photographs of each batch, anew in each epoch.
        device: The GPU.
    """

    def __init__(self, dataset: PhotoDataset, indices: Iterable[NDArray[np.int64]], device: torch.device) -> None:
        self._dataset, self._indices, self._device = dataset, indices, device
        parts = [dataset.inputs.take(chunk) for chunk in _chunks(np.arange(len(dataset)), _COPIED_TOGETHER)]
        self._inputs = {
            name: torch.cat([torch.from_numpy(part[name]).to(device) for part in parts]) for name in parts[0]
        }

    def __iter__(self) -> Iterator[Batch]:
        for index in self._indices:
            on_device = torch.from_numpy(index).pin_memory().to(self._device, non_blocking=True)
            labels = self._dataset.labels(index)
            yield Batch({name: values[on_device] for name, values in self._inputs.items()}, *labels)


def batch_loader(
    dataset: PhotoDataset, batch_size: int, device: torch.device, sampler: ShuffledBatches | None = None
) -> Iterable[Batch]:
    """Return a loader of batches.

    A GPU keeps the inputs in its memory, if they take no more than a quarter of what is free; else worker processes
    read them ahead.

    Args:
        dataset: The photographs.
        batch_size: Photographs in a batch.
        device: Device that the batches are for.
        sampler: Order of the photographs (default: the data set's order).
    """
    on_gpu = device.type == "cuda"
    indices: Any = sampler or list(_chunks(np.arange(len(dataset)), batch_size))
    if on_gpu and dataset.inputs.nbytes <= torch.cuda.mem_get_info(device)[0] // 4:
        return DeviceBatches(dataset, indices, device)
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=indices,
        num_workers=_GPU_WORKERS if on_gpu else 0,
        pin_memory=on_gpu,
        persistent_workers=on_gpu,
        generator=torch.Generator(),  # leaves the global random numbers alone
    )


def _chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _classes(inputs: Inputs, target: Target) -> Tensor:
    if target.multilabel:
        return torch.from_numpy(class_matrix(inputs.rows, target)).float()
    return torch.from_numpy(class_numbers(inputs.rows, target))
