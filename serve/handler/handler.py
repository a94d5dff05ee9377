"""The TorchServe handler, a thin adapter over the prediction service. Runs inside an archive."""

import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .metrics import PredictionMetrics, expected_class_shares, torchserve_metric
from .service import PredictionResponse, PredictionService
from .tracing import REQUEST_ID, TRACEPARENT, Tracing, record_response


class Handler:
    """Answer batches of requests; an invalid request does not affect the others of its batch."""

    def initialize(self, context: Any) -> None:
        """Load the model, once in each worker."""
        logging.getLogger().addFilter(_is_no_arrival)
        torch.set_num_threads(1)  # each worker is a process; more threads would compete for the same cores
        properties = context.system_properties
        run = Path(properties["model_dir"]) / "run"
        gpu = properties.get("gpu_id")
        device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        self.service = PredictionService.load(run, device)
        spec = self.service.predictor.spec
        shares = expected_class_shares(run, spec.targets)
        self.metrics = PredictionMetrics(torchserve_metric(context.metrics), spec.name, spec.version, shares)
        self.tracing = Tracing.from_environment()

    def handle(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """Answer each request of a batch with JSON.

        Args:
            rows: Fields of each request's body by name; the single field of a plain body is ``body``.
            context: TorchServe's context; receives the status of each response.
        """
        with _single_write():
            explain = [context.get_request_header(index, "explain") == "True" for index in range(len(rows))]
            responses = self.service.respond_to_batch(list(zip(rows, explain, strict=True)))
            return [self._document(index, response, context) for index, response in enumerate(responses)]

    def _document(self, index: int, response: PredictionResponse, context: Any) -> bytes:
        context.set_response_content_type(index, "application/json")
        if response.status == 200:
            self.metrics.record_response(response.document, response.decoding_s, response.inference_s)
        else:
            self.metrics.record_error(response.status)
            context.set_response_status(code=response.status, phrase="refused", idx=index)
        identifier, traceparent = (context.get_request_header(index, name) or "" for name in (REQUEST_ID, TRACEPARENT))
        record_response(self.tracing, response, identifier, traceparent)
        return json.dumps(response.document).encode()  # ASCII: any text can be written, even lone surrogates


def _is_no_arrival(record: logging.LogRecord) -> bool:
    """Return False for TorchServe's line about the arrival of each request, which costs more than its time is worth."""
    return not str(record.msg).startswith("Backend received inference")


@contextmanager
def _single_write() -> Iterator[None]:
    """Write what is logged in the block at once.

    A worker's metrics are lines of its log, which TorchServe reads from a pipe; a write for each of them would cost
    more than the rest of the adapter.
    """
    loggers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    handlers = [handler for handler in loggers if handler.stream is sys.stdout]
    lines = io.StringIO()
    for handler in handlers:
        handler.setStream(lines)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(sys.stdout)
        sys.stdout.write(lines.getvalue())
        sys.stdout.flush()
