"""A local page on which a person drops a photograph and sees the reading.

It listens on loopback, answers only those who call it by that name (so that no other site's address can lead to it),
and reads only what its own page sends: the header it asks for cannot be sent from another site without leave.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve.client import Client
from lightmeter.serve.torchserve.config import LOOPBACK
from lightmeter.serve.torchserve.server import connect
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState
from lightmeter.serve.web_demo.format import format_number, quantity_of_target, read_settings, rotate_box

_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'"


class Page(ThreadingHTTPServer):
    """The page's web server.

    Args:
        place: the folder of the TorchServe that reads.
        port: 0 for a free one.
        max_bytes: the largest photograph that is taken.
    """

    daemon_threads = True

    def __init__(self, place: ServerDirectory, port: int, max_bytes: int) -> None:
        super().__init__((LOOPBACK, port), _Request)
        self.place, self.max_bytes = place, max_bytes

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def names(self) -> set[str]:
        """What the page may be called by."""
        return {f"{host}:{self.server_port}" for host in (LOOPBACK, "localhost")}


@contextmanager
def page(place: ServerDirectory, port: int, max_bytes: int) -> Iterator[Page]:
    """Put up the page of a running server.

    Raises:
        LightmeterError: if that server does not run.
        UsageError: if the port is taken.
    """
    connect(place)
    try:
        server = Page(place, port, max_bytes)
    except OSError as error:
        raise UsageError(f"Port {port} cannot be listened on ({error.strerror}); choose another --port.") from error
    with server:
        yield server


def read(place: ServerDirectory, state: ServerState, data: bytes) -> dict[str, Any]:
    """Return what every served model reads off a photograph, and what its EXIF says."""
    with Client(place, state) as client:
        answers = [client.explained(name, data) for name in dict.fromkeys(model.name for model in state.models)]
    readings = [answer for answer in answers if "error" not in answer]
    if not readings:
        return answers[0]
    exif, orientation = read_settings(data)
    for reading in readings:
        for target, found in reading["predictions"].items():
            found["exif"] = exif.get(quantity_of_target(target))
            if "number" in found:
                found["average"] = format_number(target, found["number"])
        explanation = reading.get("explanation", {"patches": ()})
        for patch in explanation["patches"]:
            patch["box"] = rotate_box(patch["box"], explanation["width"], explanation["height"], orientation)
    return {"readings": readings}


class _Request(BaseHTTPRequestHandler):
    server: Page
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer with a file of the page."""
        if self.headers.get("Host") not in self.server.names or self.path not in _FILES:
            self._send(404, b"not found", "text/plain")
            return
        name, kind = _FILES[self.path]
        self._send(200, (files("lightmeter.serve.web_demo") / "page" / name).read_bytes(), kind)

    def do_POST(self) -> None:
        """Answer with the reading of a photograph."""
        length = self.headers.get("Content-Length", "")
        ours = self.headers.get("Host") in self.server.names and self.headers.get("X-Lightmeter") == "page"
        if not ours or self.path != "/read" or not length.isdigit():
            self._refuse(404, "There is nothing here.")
        elif int(length) > self.server.max_bytes:
            self._refuse(413, f"The file is larger than {self.server.max_bytes} bytes, the most that is read.")
        else:
            self._answer(self.rfile.read(int(length)))

    def _answer(self, data: bytes) -> None:
        try:
            document = read(self.server.place, connect(self.server.place), data)
        except LightmeterError as error:
            self._refuse(503, str(error))
        else:
            self._send(200, json.dumps(document).encode(), "application/json")

    def _refuse(self, status: int, reason: str) -> None:
        self.close_connection = True
        self._send(status, json.dumps({"error": {"status": status, "reason": reason}}).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parameter's name
        """Keep quiet."""
