"""Engines that run the ONNX file of a network: OpenVINO and ONNX Runtime."""

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Arrays
from .cache import cache_folder, cached_onnx
from .outputs import NetworkOutput


class OpenVinoEngine:
    """Computes an output of a network with OpenVINO, each photograph in one thread.

    Numbers keep 32 bits: the bfloat16 that OpenVINO prefers on processors with AMX would change features by a tenth.

    Args:
        output: What to compute.
        threads: Number of threads that will call the engine at the same time.
    """

    def __init__(self, output: NetworkOutput, threads: int) -> None:
        import openvino

        core = openvino.Core()
        if folder := cache_folder():
            core.set_property({"CACHE_DIR": str(folder)})
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the workers of a server would share one core
        }
        self._model = core.compile_model(core.read_model(cached_onnx(output)), "CPU", settings)
        self._inputs, self._outputs = output.inputs, output.names
        self._requests = threading.local()

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the output for the inputs of N photographs."""
        results = self._request().infer([np.ascontiguousarray(inputs[name]) for name in self._inputs])
        return {name: results[index] for index, name in enumerate(self._outputs)}

    def _request(self) -> Any:
        """Return the request of this thread; one request must not be used by two threads."""
        if not hasattr(self._requests, "request"):
            self._requests.request = self._model.create_infer_request()
        return self._requests.request


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
