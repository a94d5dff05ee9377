"""The prediction service, independent of the server in front of it. Runs inside an archive."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ...images.memory import keep_freed_memory
from ...models.runtime.engines import EngineName
from ...models.runtime.input_warnings import input_warnings
from ...models.runtime.predictor import PhotoPrediction, Predictor
from ...models.runtime.preprocess import InvalidPhoto, ModelInput
from ...models.runtime.spec import read_spec
from ...models.runtime.stages import Stage, recorded_stages
from .explanation import explain
from .request import Request, parse_request, quoted

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionResponse:
    """The response to a request, and the time it took.

    Attributes:
        document: JSON document to send.
        status: HTTP status.
        decoding_s: Time to decode and preprocess the photograph, in seconds.
        inference_s: Time in the network, in seconds.
        stages: The stages of the prediction; those of the network are the same for all requests of a batch.
    """

    document: dict[str, Any]
    status: int = 200
    decoding_s: float = 0.0
    inference_s: float = 0.0
    stages: tuple[Stage, ...] = ()


class PredictionService:
    """Answer prediction requests with one model.

    Args:
        predictor: The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._targets = [target.name for target in predictor.spec.targets]
        self._threads = ThreadPoolExecutor() if predictor.batch_size > 1 else None  # decoding takes longer than a GPU

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
        return self.respond_to_batch([(fields, explain)])[0]

    def respond_to_batch(self, batch: Sequence[tuple[Mapping[str, Any], bool]]) -> list[PredictionResponse]:
        """Answer requests as `respond` does; on a GPU their photographs pass through the network together.

        Args:
            batch: The arguments of `respond` for each request.
        """

        def prepare(request: tuple[Mapping[str, Any], bool]) -> tuple[_Prepared | InvalidPhoto, list[Stage]]:
            with recorded_stages() as stages:
                return _attempt(self._prepare, *request), stages

        prepared = list(self._threads.map(prepare, batch) if self._threads else map(prepare, batch))
        start = time.perf_counter()
        ready = [request for request, _ in prepared if isinstance(request, _Prepared)]
        with recorded_stages() as shared:
            predictions = iter(self._predict([request.photo for request in ready]))
        inference_s = (time.perf_counter() - start) / max(1, len(ready))

        def response(request: _Prepared | InvalidPhoto, stages: Sequence[Stage]) -> PredictionResponse:
            if isinstance(request, InvalidPhoto):
                return replace(_error(request), stages=tuple(stages))
            answer = _attempt(self._answer, request, next(predictions), inference_s)
            answered = _error(answer) if isinstance(answer, InvalidPhoto) else answer
            return replace(answered, stages=(*stages, *shared))

        return [response(request, stages) for request, stages in prepared]

    def _prepare(self, fields: Mapping[str, Any], explain: bool) -> "_Prepared":
        """Parse a request and decode its photograph.

        Raises:
            InvalidPhoto: The request or its photograph is invalid, or a requested target does not exist.
        """
        request = parse_request(fields, explain=explain)
        for target in request.targets:
            if target not in self._targets:
                targets = ", ".join(self._targets)
                raise InvalidPhoto(400, f"Unknown target {quoted(target)}; the targets of this model are {targets}.")
        start = time.perf_counter()
        photo = self.predictor.preprocess(request.data, exif=request.exif)
        return _Prepared(request, photo, time.perf_counter() - start)

    def _predict(self, photographs: Sequence[ModelInput]) -> Sequence[PhotoPrediction | InvalidPhoto]:
        """Predict photographs; if the network fails for a batch, each photograph by itself."""
        predictions = _attempt(self.predictor.predict_batch, photographs)
        if not isinstance(predictions, InvalidPhoto):
            return predictions
        if len(photographs) == 1:
            return [predictions]
        return [prediction for photo in photographs for prediction in self._predict([photo])]

    def _answer(
        self, prepared: "_Prepared", prediction: PhotoPrediction | InvalidPhoto, inference_s: float
    ) -> PredictionResponse:
        if isinstance(prediction, InvalidPhoto):
            raise prediction
        request, document = prepared.request, prediction.as_dict()
        if warnings := input_warnings(prepared.photo, self.predictor.spec):
            document["warnings"] = warnings
        if request.explain:
            classes = {name: target.label for name, target in prediction.predictions.items()}
            document["explanation"] = explain(self.predictor, prepared.photo, classes)
        document["predictions"] = _select(document["predictions"], request)
        return PredictionResponse(document, 200, prepared.decoding_s, inference_s)


@dataclass(frozen=True)
class _Prepared:
    """A request with its decoded photograph."""

    request: Request
    photo: ModelInput
    decoding_s: float


def _attempt(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result | InvalidPhoto:
    """Call a function for a request; a failure must not fail the other requests of the batch."""
    try:
        return function(*args, **kwargs)
    except InvalidPhoto as error:
        return error
    except Exception:  # noqa: BLE001 - of any kind
        _log.exception("A request failed.")
        return InvalidPhoto(500, "The prediction failed; see the server's log.")


def _error(error: InvalidPhoto) -> PredictionResponse:
    return PredictionResponse({"error": {"status": error.status, "reason": error.reason}}, error.status)


def _select(predictions: Mapping[str, dict[str, Any]], request: Request) -> dict[str, dict[str, Any]]:
    """Return the requested targets, with the ``top_k`` most probable classes of each."""
    selected = {target: dict(predictions[target]) for target in request.targets or predictions}
    if request.top_k:
        for prediction in selected.values():
            ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
            prediction["probabilities"] = dict(ranked[: request.top_k])
    return selected
