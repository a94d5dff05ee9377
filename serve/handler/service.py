"""From a request to an answer, whichever server has received it. Runs inside an archive."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.models.runtime.input_warnings import input_warnings
from lightmeter.models.runtime.memory import keep_freed_memory
from lightmeter.models.runtime.predictor import InvalidPhoto, Predictor

from .explanation import explain
from .request import Request


@dataclass(frozen=True)
class PredictionResponse:
    """An answer, and what it took.

    Attributes:
        document: as it is sent.
        decoding_s: time to decode the photograph and to cut what the network is given, in seconds.
        inference_s: time in the network, in seconds.
    """

    document: dict[str, Any]
    decoding_s: float
    inference_s: float


class PredictionService:
    """Answers requests with one model.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._targets = [target.name for target in predictor.spec.targets]

    @classmethod
    def load(cls, run: Path, device: str = "cpu") -> "PredictionService":
        """Load the model of a run folder, in a process whose work are predictions."""
        keep_freed_memory()
        return cls(Predictor.load(run, device))

    def answer(self, request: Request) -> PredictionResponse:
        """Return what is read off a photograph: its prediction, and warnings if it is unlike what the model knows.

        Raises:
            PhotographError: if it cannot be read, or there is no such target.
        """
        for target in request.targets:
            if target not in self._targets:
                raise InvalidPhoto(400, f"There is no target '{target}'; there are {', '.join(self._targets)}.")
        begun = time.perf_counter()
        photograph = self.predictor.preprocess(request.data, exif=request.exif)
        decoded = time.perf_counter()
        reading = self.predictor.predict(photograph)
        document = reading.as_dict()
        done = time.perf_counter()
        warnings = input_warnings(request.data, photograph, self.predictor.spec)
        if warnings:
            document["warnings"] = warnings
        if request.explain:
            classes = {target: found.label for target, found in reading.predictions.items()}
            document["explanation"] = explain(self.predictor, photograph, classes)
        document["predictions"] = _select(document["predictions"], request)
        return PredictionResponse(document, decoded - begun, done - decoded)


def _select(predictions: Mapping[str, dict[str, Any]], request: Request) -> dict[str, dict[str, Any]]:
    """Return the predictions that were asked for, the most probable classes first where only some are."""
    chosen = {target: dict(predictions[target]) for target in request.targets or predictions}
    if request.top_k:
        for found in chosen.values():
            ranked = sorted(found["probabilities"].items(), key=lambda pair: -pair[1])
            found["probabilities"] = dict(ranked[: request.top_k])
    return chosen
