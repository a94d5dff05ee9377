"""ONNX Runtime as the engine."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Arrays
from .cache import cached_onnx
from .outputs import NetworkOutput


class OnnxRuntimeEngine:
    """Computes an output of a network with ONNX Runtime, each photograph in one thread.

    Args:
        output: What to compute.
    """

    def __init__(self, output: NetworkOutput) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # in an archive nothing else has set it
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        providers = ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(cached_onnx(output), options, providers=providers)
        self._inputs, self._outputs = output.inputs, output.names

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the output for the inputs of N photographs."""
        results = self._session.run(None, {name: np.ascontiguousarray(inputs[name]) for name in self._inputs})
        return dict(zip(self._outputs, results, strict=True))
