"""The outputs of a network that an engine can compute, and their graph in ONNX."""

import io
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..preprocess import empty_inputs
from ..spec import Preprocessing

OutputName = Literal["logits", "features", "activations", "embedding"]
"""What a network computes: the uncalibrated logits of each target; the inputs of its linear heads; the outputs of its
frozen backbone; or the input of its first head, averaged over the patches, which any network with a head has."""

Tensors = Mapping[str, Tensor]

_OPSET = 18  # OpenVINO misreads the logarithm of a sum of earlier ones
_AXES = {"patches": {0: "photographs", 1: "patches"}}  # that vary; explanations leave patches out


class NetworkOutput(nn.Module):
    """One output of a network as a function of the arrays of photographs, normalisation included.

    Args:
        network: The network.
        name: What to compute.
        settings: Preprocessing of the inputs.

    Attributes:
        output: What to compute.
        names: Names of the computed arrays, once they have been computed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, name: OutputName, settings: Preprocessing) -> None:
        super().__init__()
        self.network, self.output, self.settings = network, name, settings
        self.inputs = list(empty_inputs(settings, 0))
        self.names: list[str] = []
        self._function = _OUTPUTS[name]
        self.register_buffer("mean", torch.tensor(settings.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(settings.std)[:, None, None], persistent=False)

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """Return the computed arrays in the order of `names`."""
        inputs = dict(zip(self.inputs, arrays, strict=True))
        outputs = self._function(self.network, normalised(inputs, self.mean, self.std))
        self.names = list(outputs)
        return tuple(outputs.values())

    def example(self, photographs: int) -> dict[str, NDArray[Any]]:
        """Return inputs of noise, the same at each call, as arrays by name."""
        rng = np.random.default_rng(0)
        return {
            name: rng.integers(0, 256, values.shape, np.uint8)
            if values.dtype == np.uint8
            else rng.random(values.shape, np.float32)
            for name, values in empty_inputs(self.settings, photographs).items()
        }

    def onnx(self) -> bytes:
        """Return the graph in ONNX, for any number of patches."""
        example = tuple(torch.from_numpy(values) for values in self.example(1).values())
        buffer: Any = io.BytesIO()  # which the annotation of `export` leaves out
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer about sizes, which are constant, and about this exporter
            torch.onnx.export(
                self,
                example,
                buffer,
                dynamo=False,
                opset_version=_OPSET,
                input_names=self.inputs,
                dynamic_axes={name: _AXES.get(name, {0: "photographs"}) for name in self.inputs},
            )
        content: bytes = buffer.getvalue()
        return content


def normalised(inputs: Tensors, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Return inputs as float tensors; images (uint8) are normalised by mean and standard deviation."""
    return {
        name: (values.float() - mean) / std if values.dtype == torch.uint8 else values
        for name, values in inputs.items()
    }


def first_head(network: nn.Module) -> nn.Linear | None:
    """Return the first linear layer of a network's heads; None if it has none."""
    modules = ((name, module) for name, module in network.named_modules() if name.startswith("heads."))
    return next((module for _, module in modules if isinstance(module, nn.Linear)), None)


def _embedding(network: nn.Module, inputs: Tensors) -> dict[str, Tensor]:
    head = first_head(network)
    if head is None:
        raise ValueError("it has no linear head")
    captured: list[Tensor] = []
    thread = threading.get_ident()

    def capture(_module: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        if threading.get_ident() == thread:  # other threads run the same network
            captured.append(args[0])

    hook = head.register_forward_hook(capture)
    try:
        network(inputs)
    finally:
        hook.remove()
    photographs = len(next(iter(inputs.values())))
    return {"embedding": captured[0].unflatten(0, (photographs, -1)).flatten(1, -2).mean(1)}


def _logits(network: Any, inputs: Tensors) -> dict[str, Tensor]:
    logits: dict[str, Tensor] = network(inputs)
    return logits


def _features(network: Any, inputs: Tensors) -> dict[str, Tensor]:
    return {"features": network.features(inputs)}


def _activations(network: Any, inputs: Tensors) -> dict[str, Tensor]:
    activations: dict[str, Tensor] = network.encode(inputs)
    return activations


_OUTPUTS: dict[OutputName, Callable[[Any, Tensors], dict[str, Tensor]]] = {
    "logits": _logits,
    "features": _features,
    "activations": _activations,
    "embedding": _embedding,
}
