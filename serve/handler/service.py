"""The prediction service, independent of the server in front of it. Runs inside an archive."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.runtime.engines import EngineName
from ...models.runtime.input_warnings import input_warnings
from ...models.runtime.memory import keep_freed_memory
from ...models.runtime.predictor import Predictor
from ...models.runtime.preprocess import InvalidPhoto
from ...models.runtime.spec import read_spec
from .explanation import explain
from .request import Request, parse_request, quoted

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionResponse:
    """The response to a request, and the time it took.

    Attributes:
        document: JSON document to send.
        status: HTTP status.
        decoding_s: Time to decode and preprocess the photograph, in seconds.
        inference_s: Time in the network, in seconds.
    """

    document: dict[str, Any]
    status: int = 200
    decoding_s: float = 0.0
    inference_s: float = 0.0


class PredictionService:
    """Answer prediction requests with one model.

    Args:
        predictor: The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._targets = [target.name for target in predictor.spec.targets]

    @classmethod
    def load(cls, run: Path, device: str = "cpu", engine: EngineName | None = None) -> "PredictionService":
        """Load the model of a run directory and tune the memory allocation of this process for predictions.

        Args:
            run: Run directory.
            device: torch device; engines that run on the CPU only ignore it.
            engine: What runs the network (default: what the archive was written for).
        """
        keep_freed_memory()
        engine = engine or read_spec(run).engine
        predictor = Predictor.load(run, device if engine == "torch" else "cpu", engine, threads=1)
        predictor.prepare("logits")
        return cls(predictor)

    def respond(self, fields: Mapping[str, Any], *, explain: bool = False) -> PredictionResponse:
        """Answer a request, whatever it contains: an invalid one with an error document.

        Args:
            fields: Fields of the request's body by name.
            explain: Whether to add the contribution of each patch, unless the request says otherwise.
        """
        try:
            return self.predict(parse_request(fields, explain=explain))
        except InvalidPhoto as error:
            return _error(error.status, error.reason)
        except Exception:  # noqa: BLE001 - a failed request must not fail the others of its batch
            _log.exception("A request failed.")
            return _error(500, "The prediction failed; see the server's log.")

    def predict(self, request: Request) -> PredictionResponse:
        """Predict a photograph.

        Returns:
            The predictions, with warnings if the photograph is unlike the training data.

        Raises:
            InvalidPhoto: The photograph cannot be decoded, or a requested target does not exist.
        """
        for target in request.targets:
            if target not in self._targets:
                targets = ", ".join(self._targets)
                raise InvalidPhoto(400, f"Unknown target {quoted(target)}; the targets of this model are {targets}.")
        start = time.perf_counter()
        photo = self.predictor.preprocess(request.data, exif=request.exif)
        decoded = time.perf_counter()
        prediction = self.predictor.predict(photo)
        document = prediction.as_dict()
        end = time.perf_counter()
        if warnings := input_warnings(photo, self.predictor.spec):
            document["warnings"] = warnings
        if request.explain:
            classes = {name: target.label for name, target in prediction.predictions.items()}
            document["explanation"] = explain(self.predictor, photo, classes)
        document["predictions"] = _select(document["predictions"], request)
        return PredictionResponse(document, 200, decoded - start, end - decoded)


def _error(status: int, reason: str) -> PredictionResponse:
    return PredictionResponse({"error": {"status": status, "reason": reason}}, status)


def _select(predictions: Mapping[str, dict[str, Any]], request: Request) -> dict[str, dict[str, Any]]:
    """Return the requested targets, with the ``top_k`` most probable classes of each."""
    selected = {target: dict(predictions[target]) for target in request.targets or predictions}
    if request.top_k:
        for prediction in selected.values():
            ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
            prediction["probabilities"] = dict(ranked[: request.top_k])
    return selected
