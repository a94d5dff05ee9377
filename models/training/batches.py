"""Batches of inputs, read while the one before is worked on."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.models.runtime.predictor import to_tensors
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training import distributed
from lightmeter.models.training.feature_cache import Inputs

_LEAST = 2  # photographs of a batch for each process; one alone has no deviation to normalise by

Batch = tuple[NDArray[np.int64], dict[str, Tensor]]


@dataclass
class Clock:
    """How long training waited for its inputs, and how long it worked, in seconds."""

    waited: float = 0.0
    worked: float = 0.0

    @property
    def waiting_share(self) -> float:
        """The share of time that was spent waiting."""
        return self.waited / max(self.waited + self.worked, 1e-9)


@dataclass
class Batches:
    """Batches of photographs for a device.

    Attributes:
        size: photographs a batch, over all processes.
        settings: mean and deviation.
        device: where the tensors shall be.
        clock: that is told how long was waited.
    """

    size: int
    settings: Preprocessing
    device: torch.device
    clock: Clock

    def in_order(self, inputs: Inputs) -> Iterator[Batch]:
        """Yield places and inputs of all photographs."""
        yield from self._read(inputs, self._cut(np.arange(len(inputs))))

    def shuffled(self, inputs: Inputs, seed: int, *, flip: bool) -> Iterator[Batch]:
        """Yield this process's share of every batch, in random order; a batch may be mirrored.

        A last batch that is too small is left out, other photographs each time.
        """
        order = np.random.default_rng(seed).permutation(len(inputs))
        world = distributed.world()
        batches = [batch[distributed.rank() :: world] for batch in self._cut(order) if len(batch) >= _LEAST * world]
        yield from self._read(inputs, batches, np.random.default_rng(seed + 1) if flip else None)

    def _cut(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]

    def _read(
        self, inputs: Inputs, batches: list[NDArray[np.int64]], coin: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(inputs.take, batch) for batch in batches[:1]]
            for number, batch in enumerate(batches):
                begun = time.perf_counter()
                taken = coming.pop().result()
                self.clock.waited += time.perf_counter() - begun
                coming += [reader.submit(inputs.take, after) for after in batches[number + 1 : number + 2]]
                if coin is not None and coin.random() < 0.5:
                    taken = {name: _mirrored(values) for name, values in taken.items()}
                yield batch, to_tensors(taken, self.settings, self.device)


def _mirrored(values: NDArray[Any]) -> NDArray[Any]:
    """Return pictures mirrored left to right; what is no picture stays as it is."""
    return np.ascontiguousarray(values[..., ::-1]) if values.dtype == np.uint8 else values
