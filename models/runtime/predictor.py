"""One predictor for everybody: evaluation after training, ``models predict`` and TorchServe.

What a photograph is answered never depends on what else is asked at the same time: its patches are one
forward pass of their own. Nor does it depend on the number of cores: on a CPU a forward pass is one
thread's work, since other numbers of threads round sums differently; several photographs can be predicted
in several threads.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from lightmeter.models import architectures

from ...exposure import setting_from_stops
from .exif_features import Tags
from .preprocess import Box, InvalidPhoto, ModelInput, preprocess
from .spec import WEIGHTS_FILE, BrokenModel, ModelSpec, Preprocessing, Target, read_spec

__all__ = [
    "BrokenModel",
    "InvalidPhoto",
    "ModelInput",
    "PhotoPrediction",
    "Predictor",
    "TargetPrediction",
    "to_tensors",
]

HALF = 0.5
"""The probability from which on a photograph is said to have a class, where it can have several."""

_STEEPEST = 500.0  # beyond, exp overflows


@dataclass(frozen=True)
class TargetPrediction:
    """What one target was found to be.

    Attributes:
        label: the most probable class.
        probabilities: by class, calibrated.
        stops: the expected number of stops, for ordinal targets.
        number: what these are as an f-number, seconds or ISO.
        labels: the classes that are more probable than not, for targets with several at once; else None.
    """

    label: str
    probabilities: Mapping[str, float]
    stops: float | None = None
    number: float | None = None
    labels: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON has it."""
        answer = {"class": self.label} if self.labels is None else {"classes": list(self.labels)}
        numbers = {"stops": self.stops, "number": self.number}
        known = {key: value for key, value in numbers.items() if value is not None}
        return {**answer, "probabilities": dict(self.probabilities), **known}


@dataclass(frozen=True)
class PhotoPrediction:
    """What was read off one photograph.

    Attributes:
        model: the model's name.
        version: the model's version.
        dataset: SHA-256 of the manifest that it was trained on.
        predictions: by target.
    """

    model: str
    version: str
    dataset: str
    predictions: Mapping[str, TargetPrediction]

    def as_dict(self) -> dict[str, Any]:
        """Return the reading as JSON has it."""
        return {
            "model": self.model,
            "version": self.version,
            "dataset": self.dataset,
            "predictions": {target: found.as_dict() for target, found in self.predictions.items()},
        }


class Predictor:
    """A trained network that reads photographs.

    Args:
        spec: what the network is.
        network: with its weights.
        device: that it runs on.
    """

    def __init__(self, spec: ModelSpec, network: nn.Module, device: str = "cpu") -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()

    @classmethod
    def load(cls, run: Path, device: str = "cpu") -> "Predictor":
        """Load the model of a run folder, from safetensors and TOML alone.

        Raises:
            BrokenModel: if the folder is none, is damaged, or needs an architecture that is not installed.
        """
        spec = read_spec(run)
        weights = _weights(run / WEIGHTS_FILE, spec.weights_sha256)
        try:
            network = architectures.build(spec)
            network.load_state_dict(weights)
        except LookupError as error:
            raise BrokenModel(f"The model {spec.name} cannot be built: {error.args[0]}.") from error
        except (RuntimeError, TypeError, ValueError) as error:
            first = str(error).strip().splitlines()[-1].strip().rstrip(".")
            raise BrokenModel(f"{run / WEIGHTS_FILE} does not fit its model.toml: {first}.") from error
        return cls(spec, network, device)

    def read(self, data: bytes, box: Box | None = None, exif: Tags | None = None) -> ModelInput:
        """Decode a photograph, or the part of it in a box, and cut what the network is given.

        Args:
            data: the bytes of its file.
            box: the part that is meant; None for all of it.
            exif: tags that are told beside the file; they win over those in it.

        Raises:
            PhotographError: if it cannot be read; it has a status as HTTP says it, and a reason.
        """
        return preprocess(data, self.spec.preprocessing, box, exif)

    def predict(self, photographs: Sequence[ModelInput]) -> list[PhotoPrediction]:
        """Return one reading a photograph, in their order."""
        return [self.reading(self.logits(photograph)) for photograph in photographs]

    def logits(self, photograph: ModelInput) -> dict[str, NDArray[np.float32]]:
        """Return a photograph's uncalibrated logits of shape (C,) by target."""
        with torch.inference_mode(), single_thread():
            found = self.network(self.tensors(photograph))
        return {target: values[0].float().cpu().numpy() for target, values in found.items()}

    def tensors(self, photograph: ModelInput) -> dict[str, Tensor]:
        """Return what the network is given for one photograph, with a leading axis of one."""
        inputs = {name: values[None] for name, values in photograph.inputs.items()}
        return to_tensors(inputs, self.spec.preprocessing, self.device)

    def reading(self, logits: Mapping[str, NDArray[np.float32]]) -> PhotoPrediction:
        """Return the reading that a photograph's logits amount to."""
        found = {target.name: _prediction(target, logits[target.name]) for target in self.spec.targets}
        dataset = str(self.spec.data.get("manifest_sha256", ""))
        return PhotoPrediction(self.spec.name, self.spec.version, dataset, found)


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch compute in one thread while the block runs, and in threads that are begun in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_tensors(inputs: Mapping[str, NDArray[Any]], settings: Preprocessing, device: torch.device) -> dict[str, Tensor]:
    """Return inputs as float tensors; pictures (uint8) centred and scaled.

    Args:
        inputs: by name, each with a leading axis of photographs.
        settings: mean and deviation.
        device: where the tensors shall be.
    """
    mean = torch.tensor(settings.mean, device=device)[:, None, None]
    deviation = torch.tensor(settings.deviation, device=device)[:, None, None]
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in inputs.items()}
    return {
        name: (values.float() - mean) / deviation if values.dtype == torch.uint8 else values
        for name, values in tensors.items()
    }


def calibrated(logits: NDArray[np.float32], temperature: float, *, multiple: bool = False) -> NDArray[np.float64]:
    """Return probabilities for logits of shape (..., C): softmax, or sigmoid for several classes at once."""
    scaled = logits.astype(np.float64) / temperature
    if multiple:
        return np.asarray(1 / (1 + np.exp(-scaled.clip(-_STEEPEST, _STEEPEST))))
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _prediction(target: Target, logits: NDArray[np.float32]) -> TargetPrediction:
    probabilities = calibrated(logits, target.temperature, multiple=target.multiple)
    by_class = dict(zip(target.classes, probabilities.tolist(), strict=True))
    stops = float(probabilities @ np.asarray(target.stops)) if target.stops else None
    return TargetPrediction(
        label=target.classes[int(probabilities.argmax())],
        probabilities=by_class,
        stops=stops,
        number=None if stops is None else setting_from_stops(stops, target.unit),
        labels=tuple(name for name, share in by_class.items() if share >= HALF) if target.multiple else None,
    )


def _weights(file: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BrokenModel(f"{file} cannot be read: {error.strerror}.") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise BrokenModel(f"{file} is not the file that model.toml names; copy the whole run folder again.")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise BrokenModel(f"{file} is damaged: {error}.") from error
