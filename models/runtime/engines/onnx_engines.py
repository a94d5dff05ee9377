"""Engines that run the ONNX file of a network: OpenVINO and ONNX Runtime."""

import os
import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocess import empty_inputs
from . import Arrays
from .cache import cache_folder, cached_onnx
from .outputs import NetworkOutput

_CREATING_CORE = threading.Lock()


def openvino_core() -> Any:
    """Return the `openvino.Core` of this process, which is never released.

    The CPU plugin of each core replaces the alternate signal stack of the thread that loads it. Two cores that are not
    released in reverse order leave the thread a stack that no longer exists, and the next signal kills the process.
    """
    with _CREATING_CORE:
        return _core()


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


class OpenVinoEngine:
    """Computes an output of a network with OpenVINO, each photograph in one thread.

    The graph is compiled for a single photograph with all its patches, because OpenVINO fuses fewer operations of one
    whose shapes vary; other numbers, as explanations need them, have a graph of their own.

    Numbers keep 32 bits: the bfloat16 that OpenVINO prefers on processors with AMX would change features by a tenth.

    Args:
        output: What to compute.
        threads: Number of threads that will call the engine at the same time.
    """

    def __init__(self, output: NetworkOutput, threads: int) -> None:
        self._output = output
        self._settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the workers of a server would share one core
        }
        self._single = {name: values.shape for name, values in empty_inputs(output.settings, 1).items()}
        self._compiling = threading.Lock()
        self._models = {True: self._compile(single=True)}  # by whether it is for a single photograph
        self._requests = threading.local()

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of the output for the inputs of N photographs."""
        single = all(inputs[name].shape == shape for name, shape in self._single.items())
        arrays = [np.ascontiguousarray(inputs[name]) for name in self._output.inputs]
        results = self._request(single=single).infer(arrays)
        return {name: results[index] for index, name in enumerate(self._output.names)}

    def _request(self, *, single: bool) -> Any:
        """Return the request of this thread; one request must not be used by two threads."""
        requests: dict[bool, Any] = vars(self._requests).setdefault("requests", {})
        if single not in requests:
            with self._compiling:
                if single not in self._models:
                    self._models[single] = self._compile(single=single)
            requests[single] = self._models[single].create_infer_request()
        return requests[single]

    def _compile(self, *, single: bool) -> Any:
        core = openvino_core()
        model = core.read_model(cached_onnx(self._output))
        if single:
            model.reshape({name: list(shape) for name, shape in self._single.items()})
        folder = cache_folder()
        return core.compile_model(model, "CPU", self._settings | ({"CACHE_DIR": str(folder)} if folder else {}))


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
