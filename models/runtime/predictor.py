"""The predictor used by evaluation, ``models predict`` and servers alike, so that all give the same numbers.

The prediction for a photograph does not depend on batch composition: its patches are one forward pass of their own. Nor
does it depend on the number of cores: on a CPU a forward pass runs in one thread, since other numbers of threads round
sums differently. Several photographs can be predicted in several threads. Another engine than PyTorch gives the same
numbers but for the last digits.
"""

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from ...exposure import setting_from_stops
from ...images.geometry import Box
from .. import architectures
from .engines import Arrays, Engine, EngineName, check_engine, load_engine
from .engines.outputs import NetworkOutput, OutputName, normalised
from .exif_features import Tags
from .intervals import StopsDistribution
from .preprocess import InvalidPhoto, ModelInput, Photo, preprocess
from .spec import (
    MAX_WEIGHT_BYTES,
    WEIGHTS_FILE,
    BrokenModel,
    ModelSpec,
    Preprocessing,
    Target,
    read_regular,
    read_spec,
)
from .stages import stage

THRESHOLD = 0.5
"""Probability from which a class of a multilabel target is predicted."""

_UNUSABLE, _NOT_FINITE = 422, "The model gives no finite prediction for this photograph."
_GPU_BATCH = 32  # photographs
_GPU_THREADS = 2  # one copies its batch while the other computes
_MAX_EXPONENT = 500.0  # beyond, exp overflows


@dataclass(frozen=True)
class TargetPrediction:
    """The prediction for one target.

    Attributes:
        label: The most probable class.
        probabilities: Calibrated probability of each class.
        stops: The median of the distribution in stops, for ordinal targets.
        number: The stops as an f-number, seconds, ISO or millimetres.
        interval: Stops between which the setting is with a probability of 90 %, for ordinal targets.
        labels: The predicted classes of a multilabel target; else None.
    """

    label: str
    probabilities: Mapping[str, float]
    stops: float | None = None
    number: float | None = None
    interval: tuple[float, float] | None = None
    labels: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON types."""
        classes = {"class": self.label} if self.labels is None else {"classes": list(self.labels)}
        interval = None if self.interval is None else list(self.interval)
        numbers = {"stops": self.stops, "number": self.number, "interval": interval}
        present = {key: value for key, value in numbers.items() if value is not None}
        return {**classes, "probabilities": dict(self.probabilities), **present}


@dataclass(frozen=True)
class PhotoPrediction:
    """The predictions for one photograph.

    Attributes:
        model: Name of the model.
        version: Version of the model.
        dataset: SHA-256 of the manifest of the training data set.
        engine: Name of the engine that ran the network.
        predictions: Prediction for each target.
    """

    model: str
    version: str
    dataset: str
    engine: EngineName
    predictions: Mapping[str, TargetPrediction]

    def as_dict(self) -> dict[str, Any]:
        """Return the predictions as JSON types."""
        predictions = {target: prediction.as_dict() for target, prediction in self.predictions.items()}
        return {**vars(self), "predictions": predictions}


class Predictor:
    """A trained network with its preprocessing and calibration.

    Args:
        spec: The specification of the model.
        network: The network with its weights.
        device: torch device, for example ``cpu`` or ``cuda:0``.
        engine: What runs the network.
        threads: Number of threads that will predict at the same time (default: the number of cores).

    Attributes:
        threads: Number of threads that may predict at the same time.
        batch_size: Photographs in a forward pass: one on a CPU, where more gain nothing.

    Raises:
        EngineError: The engine is not installed, or does not run on the device.

    Example:
        >>> predictor = Predictor.load(Path("runs/patches-shutter-v1-1"))  # doctest: +SKIP
        >>> predictor.predict("photograph.jpg").predictions["shutter"].label  # doctest: +SKIP
        '1/250'
    """

    def __init__(
        self, spec: ModelSpec, network: nn.Module, device: str = "cpu", engine: EngineName = "torch", threads: int = 0
    ) -> None:
        check_engine(engine, device)
        self.spec = spec
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.engine: EngineName = engine
        on_gpu = self.device.type == "cuda"
        self.threads = _GPU_THREADS if on_gpu else threads or os.cpu_count() or 1
        self.batch_size = _GPU_BATCH if on_gpu else 1
        self._engines: dict[OutputName, Engine] = {}
        self._loading = threading.Lock()

    @classmethod
    def load(cls, run: Path, device: str = "cpu", engine: EngineName = "torch", threads: int = 0) -> "Predictor":
        """Load the model of a run folder, from safetensors and TOML alone.

        Raises:
            EngineError: The engine is not installed, or does not run on the device.
            BrokenModel: The folder is not a run folder, is damaged, or needs an architecture that is not installed.
        """
        spec = read_spec(run)
        weights = _read_weights(run / WEIGHTS_FILE, spec.weights_sha256)
        try:
            _check_size(spec, weights)
            network = architectures.build(spec)
            network.load_state_dict(weights)
        except LookupError as error:
            raise BrokenModel(f"Cannot build the model {spec.name}: {error.args[0]}.") from error
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
            raise BrokenModel(f"{run / WEIGHTS_FILE} does not fit its model.toml: {reason}.") from error
        return cls(spec, network, device, engine, threads)

    def preprocess(self, photo: Photo, box: Box | None = None, exif: Tags | None = None) -> ModelInput:
        """Decode a photograph and compute the inputs of the network.

        Args:
            photo: The bytes of a file, its path, or an image opened with Pillow.
            box: The part of the photograph to use (default: all of it).
            exif: EXIF tags that replace those of the file.

        Raises:
            InvalidPhoto: The photograph cannot be decoded or used.
        """
        return preprocess(photo, self.spec.preprocessing, box, exif)

    def predict(self, photo: Photo | ModelInput) -> PhotoPrediction:
        """Predict all targets of one photograph.

        Args:
            photo: The bytes of a file, its path, an image opened with Pillow, or a preprocessed photograph.

        Raises:
            InvalidPhoto: The photograph cannot be decoded or used, or the model gives no finite numbers for it.
        """
        (prediction,) = self.predict_batch([photo if isinstance(photo, ModelInput) else self.preprocess(photo)])
        if isinstance(prediction, InvalidPhoto):
            raise prediction
        return prediction

    def predict_batch(self, photographs: Sequence[ModelInput]) -> list[PhotoPrediction | InvalidPhoto]:
        """Predict all targets of several photographs.

        On a GPU they are one forward pass, on a CPU each is one. Where the model gives no finite numbers, the list has
        the exception.

        Args:
            photographs: Preprocessed photographs.
        """
        batches = (
            photographs[start : start + self.batch_size] for start in range(0, len(photographs), self.batch_size)
        )
        outputs = (output for batch in batches for output in self.outputs("logits", stack(batch)))
        return [output if isinstance(output, InvalidPhoto) else self._prediction(output) for output in outputs]

    def _prediction(self, logits: Mapping[str, NDArray[np.float32]]) -> PhotoPrediction:
        with stage("heads"):
            predictions = {target.name: _target_prediction(target, logits[target.name]) for target in self.spec.targets}
        dataset = str(self.spec.data.get("manifest_sha256", ""))
        return PhotoPrediction(self.spec.name, self.spec.version, dataset, self.engine, predictions)

    def outputs(self, output: OutputName, inputs: Arrays) -> list[dict[str, NDArray[np.float32]] | InvalidPhoto]:
        """Return an output of the network for each of N photographs; an exception where a logit is not finite.

        Args:
            output: What to compute.
            inputs: Inputs of the network, as returned by `stack`.
        """
        return [
            InvalidPhoto(_UNUSABLE, _NOT_FINITE)
            if output == "logits" and not all(np.isfinite(values).all() for values in arrays.values())
            else arrays
            for arrays in split(self.compute(output, inputs))
        ]

    def compute(self, output: OutputName, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return an output of the network for N photographs, each array with a leading axis of photographs.

        Args:
            output: What to compute.
            inputs: Inputs of the network, as returned by `stack`.

        Raises:
            EngineError: The engine cannot run this network; only the first computation of an output raises it.
        """
        self.prepare(output)
        with stage("forward"):
            return self._engines[output].run(inputs)

    def prepare(self, output: OutputName) -> None:
        """Load the engine for an output of the network, which takes seconds for other engines than PyTorch.

        Raises:
            EngineError: The engine cannot run this network.
        """
        with self._loading:
            if output not in self._engines:
                function = NetworkOutput(self.network, output, self.spec.preprocessing).eval()
                self._engines[output] = load_engine(self.engine, function, self.device, self.threads)

    def tensors(self, photo: ModelInput) -> dict[str, Tensor]:
        """Return the network's inputs for one photograph, each with a leading axis of length one."""
        return to_tensors(stack([photo]), self.spec.preprocessing, self.device)


def stack(photographs: Sequence[ModelInput]) -> dict[str, NDArray[Any]]:
    """Return the inputs of photographs by name, each with a leading axis of photographs."""
    return {name: np.stack([photo.inputs[name] for photo in photographs]) for name in photographs[0].inputs}


def split(arrays: Arrays) -> list[dict[str, NDArray[Any]]]:
    """Return the arrays of each photograph, for arrays with a leading axis of photographs."""
    return [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]


def to_tensors(
    inputs: Mapping[str, NDArray[Any] | Tensor], settings: Preprocessing, device: torch.device
) -> dict[str, Tensor]:
    """Return inputs as float tensors; images (uint8) are normalised by mean and standard deviation.

    Args:
        inputs: Arrays or tensors by name, each with a leading axis of photographs.
        settings: Mean and standard deviation.
        device: Device of the tensors.
    """
    mean = torch.tensor(settings.mean, device=device)[:, None, None]
    std = torch.tensor(settings.std, device=device)[:, None, None]
    return normalised({name: torch.as_tensor(values).to(device) for name, values in inputs.items()}, mean, std)


def calibrated(logits: NDArray[np.float32], temperature: float, *, multilabel: bool = False) -> NDArray[np.float64]:
    """Return calibrated probabilities for logits of shape (..., C).

    Args:
        logits: Uncalibrated logits.
        temperature: Divides the logits.
        multilabel: Sigmoid for multilabel targets, instead of the softmax.
    """
    scaled = logits.astype(np.float64) / temperature
    if multilabel:
        return np.asarray(1 / (1 + np.exp(-scaled.clip(-_MAX_EXPONENT, _MAX_EXPONENT))))
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _target_prediction(target: Target, logits: NDArray[np.float32]) -> TargetPrediction:
    probabilities = calibrated(logits, target.temperature, multilabel=target.multilabel)
    by_class = dict(zip(target.classes, probabilities.tolist(), strict=True))
    distribution = StopsDistribution(probabilities, target.stops) if target.stops else None
    stops = distribution.median() if distribution else None
    return TargetPrediction(
        label=target.classes[int(probabilities.argmax())],
        probabilities=by_class,
        stops=stops,
        number=None if stops is None else setting_from_stops(stops, target.unit),
        interval=distribution.central() if distribution else None,
        labels=tuple(name for name, value in by_class.items() if value >= THRESHOLD) if target.multilabel else None,
    )


def _check_size(spec: ModelSpec, weights: dict[str, Tensor]) -> None:
    """Check that a network is no larger than its weights, before it takes memory.

    Raises:
        LookupError: The architecture is not installed.
        TypeError: The architecture has no such option.
        ValueError: The network is larger, or an option does not suit the architecture.
    """
    try:
        with torch.device("meta"):
            network = architectures.build(spec)
    except RuntimeError:  # an architecture that computes with its initial weights
        return
    size, available = (sum(map(torch.numel, tensors.values())) for tensors in (network.state_dict(), weights))
    if size > available:
        raise ValueError(f"the network has {size:,} parameters, the weights {available:,}")


def _read_weights(file: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = read_regular(file, MAX_WEIGHT_BYTES)
    except OSError as error:
        raise BrokenModel(f"Cannot read {file}: {error.strerror}.") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise BrokenModel(f"The SHA-256 of {file} differs from model.toml; copy the whole run folder again.")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise BrokenModel(f"{file} is damaged: {error}.") from error
