"""TorchServe's handler: a thin skin over the reader. It runs inside an archive, without Lightmeter installed."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lightmeter.models.runtime.predictor import InvalidPhoto

from .metrics import PredictionMetrics, expected_mix
from .request import read_request
from .service import PredictionService

_FAILED = InvalidPhoto(500, "The prediction failed; the server's log says why.")
_log = logging.getLogger(__name__)


class Handler:
    """Answers a batch of requests; one that cannot be answered does not touch the others."""

    def initialize(self, context: Any) -> None:
        """Load the model, once in each worker."""
        torch.set_num_threads(1)  # workers are processes: more threads would fight for the same cores
        properties = context.system_properties
        gpu = properties.get("gpu_id")
        run = Path(properties["model_dir"]) / "run"
        self.reader = PredictionService.load(
            run, f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        )
        spec = self.reader.predictor.spec
        self.meter = PredictionMetrics(context.metrics, spec.name, spec.version, expected_mix(run, spec.targets))

    def handle(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """Answer each request of a batch with JSON.

        Args:
            rows: the parts of each request's body, by name; a body that is not multipart is one part, ``body``.
            context: TorchServe's; takes the status of each answer.
        """
        return [self._answer(index, row, context) for index, row in enumerate(rows)]

    def _answer(self, index: int, row: Mapping[str, Any], context: Any) -> bytes:
        context.set_response_content_type(index, "application/json")
        explain = context.get_request_header(index, "explain") == "True"
        try:
            answer = self.reader.answer(read_request(row, explain=explain))
        except InvalidPhoto as error:
            return self._refuse(index, error, context)
        except Exception:  # noqa: BLE001 - one bad request must not cost the others of the batch their answers
            _log.exception("Request %s failed.", context.get_request_id(index))
            return self._refuse(index, _FAILED, context)
        self.meter.answered(answer.document, answer.decoding_s, answer.inference_s)
        return _json(answer.document)

    def _refuse(self, index: int, error: InvalidPhoto, context: Any) -> bytes:
        self.meter.refused(error.status)
        context.set_response_status(code=error.status, phrase="refused", idx=index)
        return _json({"error": {"status": error.status, "reason": error.reason}})


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
