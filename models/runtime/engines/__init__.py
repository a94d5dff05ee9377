"""Inference engines: what runs a network.

PyTorch is the reference. OpenVINO and ONNX Runtime run the same network in less time on a CPU, with results that differ
in the last digits. Both read the network as ONNX, which PyTorch writes when an output is computed for the first time.
"""

import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from .outputs import NetworkOutput

EngineName = Literal["torch", "openvino", "onnxruntime"]

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name, each with a leading axis of photographs."""

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# OpenVINO would report that it was imported to its maker; without this package it uses a stub of its own.

_EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}
"""The extra of Lightmeter that installs an engine's package, which has the engine's name."""


_MAX_DIFFERENCE = 1e-3  # of an example; archives are compared on photographs, more strictly


class EngineError(ValueError):
    """An engine cannot be used; the message is one sentence that says why."""


class Engine(Protocol):
    """Computes one output of a network."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the output for the inputs of N photographs, as `ModelInput.inputs` has them for one.

        It may be called from several threads at once.
        """


def check_engine(name: EngineName, device: str) -> None:
    """Check that an engine is installed and runs on a device.

    Raises:
        EngineError: It is not, or does not.
    """
    if name == "torch":
        return
    if device != "cpu":
        raise EngineError(f"The engine {name} runs on the CPU; use --device cpu, or --engine torch.")
    for package in ("onnx", name):
        try:
            import_module(package)
        except ImportError as error:
            raise EngineError(
                f"The engine {name} needs the package {package}: pip install 'lightmeter[{_EXTRAS[name]}]'."
            ) from error


def engine_version(name: EngineName) -> str:
    """Return the name of an engine with the version of its package, such as ``openvino 2026.4.1``."""
    return f"{name} {version(name).split('-')[0]}"


def load_engine(name: EngineName, output: "NetworkOutput", device: "torch.device", threads: int) -> Engine:
    """Return an engine that computes an output of a network.

    Args:
        name: Name of the engine.
        output: What to compute.
        device: Device of PyTorch; the other engines run on the CPU.
        threads: Number of threads that will call the engine at the same time.

    Raises:
        EngineError: The engine cannot run this network, or computes something else for an example than PyTorch.
    """
    from .cache import discard, is_cached
    from .pytorch import PyTorchEngine

    reference = PyTorchEngine(output, device)
    if name == "torch":
        return reference
    if is_cached(output):
        with suppress(EngineError):
            return _checked(name, output, reference, threads)
        discard(output)  # the file is damaged, or the network may not be the cached one
    return _checked(name, output, reference, threads)


def _checked(name: EngineName, output: "NetworkOutput", reference: Engine, threads: int) -> Engine:
    """Return an engine that computes the same for an example as PyTorch.

    Raises:
        EngineError: It cannot run this network, or computes something else.
    """
    try:
        example = output.example(1)
        expected = reference.run(example)  # a network from the cache has not run before
        engine = _convert(name, output, threads)
        difference = compare(expected, engine.run(example))
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line and not line.startswith("Exception from ")]
        reason = lines[0].strip().rstrip(".") if lines else type(error).__name__
        raise EngineError(f"The engine {name} cannot run this network ({reason}); use --engine torch.") from error
    if difference > _MAX_DIFFERENCE:
        raise EngineError(f"The engine {name} computes something else than torch for this network; use --engine torch.")
    return engine


def _convert(name: EngineName, output: "NetworkOutput", threads: int) -> Engine:
    from .onnx_engines import OnnxRuntimeEngine, OpenVinoEngine

    return OpenVinoEngine(output, threads) if name == "openvino" else OnnxRuntimeEngine(output)


def compare(reference: Arrays, other: Arrays) -> float:
    """Return the largest difference of two outputs of a network, relative to numbers above one.

    It is infinite where their shapes differ or a number is missing.
    """
    pairs = [(values, other[name]) for name, values in reference.items()]
    if any(values.shape != others.shape for values, others in pairs):
        return math.inf
    differences = [np.abs(values - others) / np.maximum(1, np.abs(values)) for values, others in pairs]
    return max(float(np.nan_to_num(values, nan=math.inf).max(initial=0.0)) for values in differences)
