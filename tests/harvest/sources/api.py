"""A real HTTP server on loopback that speaks a service's protocol."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    words: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """What a server says; ``promised`` bytes in Content-Length, if that is more than come."""

    content: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class Api:
    """Answers each request with what a function makes of it, and remembers all of them."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.asked: list[Asked] = []
        self._answer = answer
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
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                words = {name: values[0] for name, values in parse_qs(f"{parts.query}&{sent}").items()}
                asked = Asked(self.command, parts.path, words, dict(self.headers))
                api.asked.append(asked)
                reply = api._answer(asked)
                self.send_response(reply.status)
                length = len(reply.body) if reply.promised is None else reply.promised
                for name, value in (
                    {"Content-Type": "application/json", "Content-Length": str(length)} | reply.headers
                ).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                if length != len(reply.body):
                    self.close_connection = True

            do_POST = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[Api]:
    api = Api(answer)
    try:
        yield api
    finally:
        api.close()
