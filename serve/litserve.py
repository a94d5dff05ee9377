"""LitServe adapter over the prediction service (extra ``lightmeter[litserve]``).

Requests are the JSON documents that the TorchServe handler accepts, at the same paths, and predictions are equal;
errors are in ``detail`` instead of ``error``. LitServe has no tokens: put it behind a proxy that authenticates clients.
"""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from litserve import LitAPI, LitServer

from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.serve.handler.request import Request, parse_request
from lightmeter.serve.handler.service import PredictionService


class PredictionAPI(LitAPI):
    """LitServe API of one model.

    Args:
        run: Run directory.
        spec: Specification of its model.
    """

    def __init__(self, run: Path, spec: ModelSpec) -> None:
        super().__init__(api_path=f"/predictions/{spec.name}")
        self._run = run

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        torch.set_num_threads(1)
        self._service = PredictionService.load(self._run, device)

    def decode_request(self, request: dict[str, Any]) -> Request:
        """Parse the JSON document of a request."""
        try:
            return parse_request({"body": request})
        except InvalidPhoto as error:
            raise _http_error(error) from error

    def predict(self, x: Request) -> dict[str, Any]:
        """Return the prediction."""
        try:
            return self._service.predict(x).document
        except InvalidPhoto as error:
            raise _http_error(error) from error


def run_server(run: Path, spec: ModelSpec, *, host: str, port: int, workers: int) -> None:
    """Serve a run until Ctrl-C or SIGTERM, which LitServe itself ignores."""
    main_pid = os.getpid()

    def exit_process(*_: object) -> None:  # in this process and in those that LitServe forks
        raise KeyboardInterrupt if os.getpid() == main_pid else SystemExit

    signal.signal(signal.SIGTERM, exit_process)
    logging.getLogger("litserve.server").addFilter(_is_relevant)
    server = LitServer(PredictionAPI(run, spec), accelerator="auto", workers_per_device=workers, timeout=120)
    server.run(host=host, port=port, num_api_servers=1, generate_client_file=False, log_level="warning")


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for errors of LitServe's watchdog at shutdown, when the process it monitors has already exited."""
    return not (record.exc_info and isinstance(record.exc_info[1], EOFError | ConnectionError))


def _http_error(error: InvalidPhoto) -> HTTPException:
    return HTTPException(error.status, {"status": error.status, "reason": error.reason})
