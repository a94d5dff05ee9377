"""The LitServe process: a private engine on loopback that only the gateway talks to.

A request is ``{"fields": {NAME: BASE64}, "explain": …, "headers": …}``, with the fields and headers that TorchServe
would pass to its handler; the response is ``{"status": …, "document": …, "decoding_s": …, "inference_s": …}``.
"""

import base64
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, cast

import torch
from litserve import LitAPI, LitServer

from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.spec import read_spec
from lightmeter.serve.gateway.logs import FORMAT_VARIABLE, configure_logging
from lightmeter.serve.handler.service import PredictionService
from lightmeter.serve.handler.tracing import REQUEST_ID, TRACEPARENT, Tracing, record_response
from lightmeter.web import LOOPBACK

TIMEOUT_S = 120


class PredictionAPI(LitAPI):
    """LitServe API of one model.

    Args:
        run: Run directory.
        path: Path of the API.
        engine: What runs the network.
    """

    def __init__(self, run: Path, path: str, engine: EngineName) -> None:
        super().__init__(api_path=path)
        self._run, self._engine = run, engine

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        torch.set_num_threads(1)
        configure_logging(os.environ.get(FORMAT_VARIABLE) or "text")
        self._service = PredictionService.load(self._run, device, self._engine)
        self._tracing = Tracing.from_environment()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the request as it is; `predict` answers whatever is wrong with it."""
        return request

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        """Return the prediction, or the error."""
        fields = {name: base64.b64decode(value) for name, value in x["fields"].items()}
        response = self._service.respond(fields, explain=x["explain"])
        headers = x["headers"]
        record_response(self._tracing, response, headers.get(REQUEST_ID, ""), headers.get(TRACEPARENT, ""))
        times = {"decoding_s": response.decoding_s, "inference_s": response.inference_s}
        return {"status": response.status, "document": response.document, **times}


def run_engine(run: Path, port: int, workers: int, engine: EngineName) -> None:
    """Serve a run on loopback until SIGTERM, which LitServe itself ignores."""
    main_pid = os.getpid()

    def exit_process(*_: object) -> None:  # in this process and in those that LitServe forks
        raise KeyboardInterrupt if os.getpid() == main_pid else SystemExit

    def exit_with_parent() -> None:
        os.read(0, 1)  # ends when the gateway does, even if it is killed; sys.stdin would be locked in forked processes
        os.kill(main_pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, exit_process)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    logging.getLogger("litserve.server").addFilter(_is_relevant)
    path = f"/predictions/{read_spec(run).name}"
    server = LitServer(
        PredictionAPI(run, path, engine),
        accelerator="auto",
        workers_per_device=workers,
        timeout=TIMEOUT_S,
        disable_openapi_url=True,
        max_payload_size=None,  # the gateway limits it
    )
    server.run(host=LOOPBACK, port=port, num_api_servers=1, generate_client_file=False, log_level="warning")


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for errors of LitServe's watchdog at shutdown, when the process it monitors has already exited."""
    return not (record.exc_info and isinstance(record.exc_info[1], EOFError | ConnectionError))


if __name__ == "__main__":
    run_engine(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), cast("EngineName", sys.argv[4]))
