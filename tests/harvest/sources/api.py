"""HTTP server on loopback that plays the API of a service."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class ApiRequest:
    """A request, with the parameters of URL and body together."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass
class ApiResponse:
    """A response; a ``content_length`` above the body's length breaks the connection early."""

    content: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_length: int | None = None

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class ApiServer:
    """A server that answers each request with the result of a function, and records all requests."""

    def __init__(self, respond: Callable[[ApiRequest], ApiResponse]) -> None:
        self.requests: list[ApiRequest] = []
        self._respond = respond
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                params = {name: values[0] for name, values in parse_qs(f"{parts.query}&{form}").items()}
                request = ApiRequest(self.command, parts.path, params, dict(self.headers))
                api.requests.append(request)
                response = api._respond(request)
                length = len(response.body) if response.content_length is None else response.content_length
                headers = {"Content-Type": "application/json", "Content-Length": str(length)} | response.headers
                self.send_response(response.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response.body)
                if length != len(response.body):
                    self.close_connection = True

            do_POST = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def serve_api(respond: Callable[[ApiRequest], ApiResponse]) -> Iterator[ApiServer]:
    """Run a server while the block runs."""
    api = ApiServer(respond)
    try:
        yield api
    finally:
        api.close()
