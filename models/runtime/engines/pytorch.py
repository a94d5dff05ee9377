"""PyTorch as the engine: the reference."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from . import Arrays
from .outputs import NetworkOutput


class PyTorchEngine:
    """Computes an output of a network with PyTorch, on a CPU in one thread.

    Numbers keep 32 bits: the 19 that PyTorch prefers for convolutions on a GPU would change the features.

    Args:
        output: What to compute.
        device: Device of the network.
    """

    def __init__(self, output: NetworkOutput, device: torch.device) -> None:
        self._output, self._device = output.to(device), device
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the output for the inputs of N photographs."""
        with torch.inference_mode(), single_thread():
            values = self._output(
                *(torch.as_tensor(inputs[name]).to(self._device, non_blocking=True) for name in self._output.inputs)
            )
            return {name: array.float().cpu().numpy() for name, array in zip(self._output.names, values, strict=True)}


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch use one thread in the block, and in threads that are started in it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
