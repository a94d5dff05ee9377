"""The same model behind LitServe, for whoever wants to leave TorchServe: the extra ``lightmeter[litserve]``.

Requests are the JSON documents that the TorchServe handler takes, at the same addresses, and readings are equal; an
error lies in ``detail`` instead of ``error``. LitServe has no tokens: put it behind a proxy that has.
"""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from litserve import LitAPI, LitServer

from lightmeter.models.runtime.predictor import InvalidPhoto
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.serve.handler.request import Request, read_request
from lightmeter.serve.handler.service import PredictionService


class Api(LitAPI):
    """What LitServe asks of a model.

    Args:
        run: the run folder.
        spec: what it holds.
    """

    def __init__(self, run: Path, spec: ModelSpec) -> None:
        super().__init__(api_path=f"/predictions/{spec.name}")
        self._run = run

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        torch.set_num_threads(1)
        self._reader = PredictionService.load(self._run, device)

    def decode_request(self, request: dict[str, Any]) -> Request:
        """Return the request that a JSON document holds."""
        try:
            return read_request({"body": request})
        except InvalidPhoto as error:
            raise _refusal(error) from error

    def predict(self, x: Request) -> dict[str, Any]:
        """Return the reading."""
        try:
            return self._reader.answer(x).document
        except InvalidPhoto as error:
            raise _refusal(error) from error


def run_server(run: Path, spec: ModelSpec, *, host: str, port: int, workers: int) -> None:
    """Serve a run until Ctrl-C or SIGTERM, which LitServe itself does not heed."""
    here = os.getpid()

    def leave(*_: object) -> None:  # in this process and in those that it forks
        raise KeyboardInterrupt if os.getpid() == here else SystemExit

    signal.signal(signal.SIGTERM, leave)
    logging.getLogger("litserve.server").addFilter(_is_not_of_the_end)
    server = LitServer(Api(run, spec), accelerator="auto", workers_per_device=workers, timeout=120)
    server.run(host=host, port=port, num_api_servers=1, generate_client_file=False, log_level="warning")


def _is_not_of_the_end(record: logging.LogRecord) -> bool:
    """Whether a record is worth a line: at the end LitServe's watch asks a process that may have left already."""
    return not (record.exc_info and isinstance(record.exc_info[1], EOFError | ConnectionError))


def _refusal(error: InvalidPhoto) -> HTTPException:
    return HTTPException(error.status, {"status": error.status, "reason": error.reason})
