"""TorchServe's handler: a thin skin over the predictor. It runs inside an archive, without Lightmeter installed."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.predictor import Photograph, PhotographError, Predictor

from .request import Request, read_request

_FAILED = PhotographError(500, "The prediction failed; the server's log says why.")
_log = logging.getLogger(__name__)


class Handler:
    """Answers a batch of requests; one that cannot be answered does not touch the others."""

    def initialize(self, context: Any) -> None:
        """Load the model, once in each worker."""
        torch.set_num_threads(1)  # workers are processes: more threads would fight for the same cores
        properties = context.system_properties
        gpu = properties.get("gpu_id")
        device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        self.predictor = Predictor.load(Path(properties["model_dir"]) / "run", device)

    def handle(self, rows: Sequence[Mapping[str, object]], context: Any) -> list[bytes]:
        """Answer each request of a batch with JSON.

        Args:
            rows: the parts of each request's body, by name; a body that is not multipart is one part, ``body``.
            context: TorchServe's; takes the status of each answer.
        """
        return [self._answer(index, row, context) for index, row in enumerate(rows)]

    def _answer(self, index: int, row: Mapping[str, object], context: Any) -> bytes:
        context.set_response_content_type(index, "application/json")
        try:
            request = read_request(row)
            document = self._reading(request)
        except PhotographError as error:
            document = self._refusal(index, error, context)
        except Exception:  # noqa: BLE001 - one bad request must not cost the others of the batch their answers
            _log.exception("Request %s failed.", context.get_request_id(index))
            document = self._refusal(index, _FAILED, context)
        return json.dumps(document, ensure_ascii=False).encode()

    def _reading(self, request: Request) -> dict[str, Any]:
        photograph: Photograph = self.predictor.read(request.data)
        return self.predictor.predict([photograph])[0].as_dict()

    def _refusal(self, index: int, error: PhotographError, context: Any) -> dict[str, Any]:
        context.set_response_status(code=error.status, phrase="refused", idx=index)
        return {"error": {"status": error.status, "reason": error.reason}}
