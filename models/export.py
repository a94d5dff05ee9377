"""Export of a model into one file for other programs: ONNX, OpenVINO or PyTorch, with its preprocessing as metadata.

The file maps the inputs that the preprocessing describes (pixels as bytes) to calibrated probabilities for each target.
Before it gets its name, it is opened again and compared with the model for an example, which is in the metadata.
"""

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightmeter.errors import LightmeterError
from lightmeter.files import output_path
from lightmeter.models.runtime.engines import Arrays, compare
from lightmeter.models.runtime.engines.onnx_engines import openvino_core
from lightmeter.models.runtime.engines.outputs import NetworkOutput
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Target

Format = Literal["onnx", "openvino", "torch"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".openvino.zip", "torch": ".pt2"}
_EXTRAS = {"onnx": "onnx", "openvino": "openvino", "torch": "onnx"}
_MAX_DIFFERENCE = 1e-4
_OPSET = 18
_EXAMPLE_PHOTOGRAPHS = 2


@dataclass(frozen=True)
class Export:
    """An exported model.

    Attributes:
        path: The file.
        format: Its format.
        difference: Largest difference of a probability from the model's, for the example.
    """

    path: Path
    format: Format
    difference: float


class Probabilities(nn.Module):
    """The calibrated probabilities of each target as a function of the arrays of photographs.

    Args:
        predictor: The model, on the CPU.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.logits = NetworkOutput(predictor.network, "logits", predictor.spec.preprocessing)
        self.targets = predictor.spec.targets

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """Return one array of shape (N, C) for each target of the model, in order."""
        values = self.logits(*arrays)
        logits = dict(zip(self.logits.names, values, strict=True))
        return tuple(_calibrated(target, logits[target.name]) for target in self.targets)


def export_model(predictor: Predictor, file_format: Format, path: Path) -> Export:
    """Write a model into one file and compare the file with the model.

    Args:
        predictor: The model, on the CPU.
        file_format: ``onnx``, ``openvino`` (the two files of its format and the metadata in a zip file) or ``torch`` (a
            program of ``torch.export``).
        path: The file.

    Raises:
        LightmeterError: The network cannot be written in this format, or the file gives other probabilities.
    """
    function = Probabilities(predictor).eval()
    example = function.logits.example(_EXAMPLE_PHOTOGRAPHS)
    names = [target.name for target in predictor.spec.targets]
    with torch.inference_mode():
        expected = dict(zip(names, (values.numpy() for values in function(*_tensors(example))), strict=True))
    metadata = _metadata(predictor, expected)
    try:
        with output_path(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer about sizes, which are constant
            written = _FORMATS[file_format](function, example, metadata)
            temporary.write_bytes(written.content)
            difference = compare(expected, dict(zip(names, written.run(example), strict=True)))
            _check(difference)
    except ImportError as error:
        raise LightmeterError(
            f"Writing {file_format} needs the package {error.name}: pip install 'lightmeter[{_EXTRAS[file_format]}]'."
        ) from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise LightmeterError(
            f"The model {predictor.spec.name} cannot be written as {file_format} ({lines[0].rstrip('.')})."
        ) from error
    return Export(path, file_format, difference)


def _check(difference: float) -> None:
    if difference > _MAX_DIFFERENCE:
        raise ValueError(f"the probabilities of the file differ by {difference:.1e} from the model's")


@dataclass(frozen=True)
class _Written:
    """The content of a file, and what computes its outputs after it is opened again."""

    content: bytes
    run: Callable[[Arrays], list[NDArray[Any]]]


def _onnx(function: Probabilities, example: Arrays, metadata: dict[str, str]) -> _Written:
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(_onnx_graph(function, example))
    onnx.helper.set_model_props(model, metadata)
    content: bytes = model.SerializeToString()
    session: Any = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return _Written(content, lambda inputs: session.run(None, dict(inputs)))


def _openvino(function: Probabilities, example: Arrays, metadata: dict[str, str]) -> _Written:
    import openvino

    core = openvino_core()
    model = core.read_model(_onnx_graph(function, example))
    for key, value in metadata.items():
        model.set_rt_info(value, ["lightmeter", key])
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        members = {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
        compiled = core.compile_model(core.read_model(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**members, "metadata.json": json.dumps(metadata, indent=2).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return _Written(buffer.getvalue(), lambda inputs: list(compiled(list(inputs.values())).to_tuple()))


def _torch(function: Probabilities, example: Arrays, metadata: dict[str, str]) -> _Written:
    photographs = torch.export.Dim("photographs", min=1, max=1024)
    shapes = tuple({0: photographs} for _ in example)
    with torch.no_grad():
        program = torch.export.export(function, _tensors(example), dynamic_shapes={"arrays": shapes})
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=metadata)
    opened = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    return _Written(buffer.getvalue(), lambda inputs: [values.detach().numpy() for values in opened(*_tensors(inputs))])


_FORMATS: dict[Format, Callable[[Probabilities, Arrays, dict[str, str]], _Written]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torch": _torch,
}


def _onnx_graph(function: Probabilities, example: Arrays) -> bytes:
    buffer: Any = io.BytesIO()
    outputs = [target.name for target in function.targets]
    with torch.no_grad():
        torch.onnx.export(
            function,
            _tensors(example),
            buffer,
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(example),
            output_names=outputs,
            dynamic_axes={name: {0: "photographs"} for name in [*example, *outputs]},
        )
    content: bytes = buffer.getvalue()
    return content


def _metadata(predictor: Predictor, expected: Arrays) -> dict[str, str]:
    """Return the metadata of a file: texts, most of them JSON."""
    spec = predictor.spec.as_dict()
    example = {
        "inputs": "numpy.random.default_rng(0): for each input in order integers(0, 256, shape, uint8), or "
        "random(shape, float32) if it holds no pixels",
        "photographs": _EXAMPLE_PHOTOGRAPHS,
        "probabilities": {name: values.tolist() for name, values in expected.items()},
    }
    documents = {
        "preprocessing": spec["preprocessing"],
        "targets": spec["targets"],
        "data": spec["data"],
        "example": example,
    }
    texts = {key: str(spec[key]) for key in ("name", "version", "lightmeter", "recipe")}
    return texts | {key: json.dumps(value) for key, value in documents.items()}


def _tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in arrays.values())


def _calibrated(target: Target, logits: Tensor) -> Tensor:
    scaled = logits / target.temperature
    return torch.sigmoid(scaled) if target.multilabel else torch.softmax(scaled, 1)
