"""Training data as a PyTorch data set: batches of inputs together with their labels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightmeter.models.runtime.spec import Target
from lightmeter.models.training import distributed
from lightmeter.models.training.data.feature_cache import Inputs
from lightmeter.models.training.data.loader import class_matrix, class_numbers, stops_of

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
