"""Forward and backward passes as CUDA graphs, for networks of many small layers.

A GPU runs the layers of a small network faster than Python can start them one by one. A graph starts them all at once.
"""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lightmeter.terminal.console import get_console


class GraphedNetwork:
    """A network whose passes are captured as CUDA graphs with the first batch, for batches of the same shape.

    Batches of another shape, and networks that cannot be captured, run layer by layer.

    Args:
        network: The network, in the mode in which it will be trained.
        autocast: Precision of the passes, without a cache of converted weights.
    """

    def __init__(self, network: nn.Module, autocast: AbstractContextManager[Any]) -> None:
        self._network, self._autocast = network, autocast
        self._shapes: dict[str, torch.Size] | None = None
        self._graphed: Any = None

    def __call__(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the outputs of the network by name."""
        shapes = {name: values.shape for name, values in inputs.items()}
        if self._shapes is None:
            self._shapes = shapes
            self._capture(inputs)
        if self._graphed is None or shapes != self._shapes:
            outputs: Mapping[str, Tensor] = self._network(inputs)
            return outputs
        return dict(zip(self._adapter.outputs, self._graphed(*inputs.values()), strict=True))

    def _capture(self, inputs: Mapping[str, Tensor]) -> None:
        """Capture the passes; what trial passes change is restored."""
        before = {name: buffer.clone() for name, buffer in self._network.named_buffers()}
        self._adapter = _Adapter(self._network, list(inputs))
        device = next(iter(inputs.values())).device
        sample = tuple(values.clone() for values in inputs.values())
        try:
            # A stream of the trial passes differs from that of the training, which costs nothing here.
            warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream does not match")
            with torch.random.fork_rng([device]), self._autocast:
                self._graphed = torch.cuda.make_graphed_callables(self._adapter, sample, allow_unused_input=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            get_console().note(f"The network cannot be captured as a CUDA graph ({reason}); training is slower.")
        for name, buffer in self._network.named_buffers():
            buffer.copy_(before[name])


class _Adapter(nn.Module):
    """A network as a function of tensors alone, as graphs need it.

    Args:
        network: The network.
        inputs: Names of its inputs.

    Attributes:
        outputs: Names of its outputs, once it has run.
    """

    def __init__(self, network: nn.Module, inputs: list[str]) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs
        self.outputs: list[str] = []
        self.training = network.training

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(dict(zip(self.inputs, tensors, strict=True)))
        self.outputs = list(outputs)
        return tuple(outputs.values())
