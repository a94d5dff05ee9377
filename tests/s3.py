"""S3-compatible object storage on loopback, which can fail as real ones do."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """A server of moto.

    Attributes:
        environment: Variables with which clients use it.
        requests: Method and path of each request.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self._faults: deque[tuple[str, str]] = deque()
        self._application: Any = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}"}

    def fail(self, method: str, *faults: str) -> None:
        """Let the next requests of a method fail.

        Args:
            method: HTTP method.
            *faults: ``busy`` (503), ``denied`` (403), ``cut`` (before the request is processed) or ``lost`` (after it).
        """
        self._faults.extend((method, fault) for fault in faults)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.requests.append((method, environ["PATH_INFO"]))
        fault = self._faults.popleft()[1] if self._faults and self._faults[0][0] == method else ""
        if fault == "busy":
            return _error(environ, start_response, "503 Slow Down", "SlowDown")
        if fault == "denied":
            return _error(environ, start_response, "403 Forbidden", "InvalidAccessKeyId")
        if fault != "cut":
            answer = self._application(environ, start_response)
        if fault in ("cut", "lost"):
            connection: socket.socket = environ["werkzeug.socket"]
            connection.shutdown(socket.SHUT_RDWR)
            return [b""]
        return answer  # type: ignore[no-any-return]


class _Handler(MotoRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Print nothing."""

    log_error = log_request


def _error(environ: dict[str, Any], start_response: Callable[..., Any], status: str, code: str) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = f"<Error><Code>{code}</Code><Message>of a test</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
