"""The command, a web site and photographs, as tests need them."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lightmeter.cli import main
from lightmeter.project import Project


class Lightmeter:
    """Runs the command in a process of its own, as a person does."""

    def __call__(self, *words: object, code: int = 0, env: dict[str, str] | None = None) -> Any:
        """Run a command with ``--json`` and return its document; the exit code must be ``code``."""
        done = self.process(*words, "--json", env=env)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def process(self, *words: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command and return what it did."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
        )

    def command(self, *words: object) -> list[str]:
        """Return the words of a command line."""
        return [sys.executable, "-m", "lightmeter", *map(str, words)]


Answer = tuple[int, dict[str, str], bytes]


def jpeg(seed: int = 0, size: tuple[int, int] = (160, 120), exif: dict[int, object] | None = None) -> bytes:
    """Return a small JPEG of noise with EXIF (tags of the Exif IFD by number)."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x010F] = "Lightmeter Works"
    tags.get_ifd(0x8769).update(exif if exif is not None else {0x829D: 2.8, 0x829A: 0.008, 0x8827: 200, 0x920A: 50.0})
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, exif=tags)
    return file.getvalue()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: some tests make them."""


class Site:
    """A real HTTP server on loopback whose answers a test sets, and which counts what it was asked.

    Attributes:
        answers: by path; a function is called with the number of times the path was asked before.
        asked: how often each path was asked.
        log: when each request came, on `time.monotonic`'s clock, and its path.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[int], Answer]] = {}
        self.asked: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self.agents: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def page(self, path: str, html: str) -> None:
        self.answers[path] = (200, {"Content-Type": "text/html"}, html.encode())

    def photograph(self, path: str, data: bytes) -> None:
        self.answers[path] = (200, {"Content-Type": "image/jpeg"}, data)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.agents.add(self.headers.get("User-Agent", ""))
                times = site.asked[self.path]
                site.log.append((time.monotonic(), self.path))
                site.asked[self.path] += 1
                answer = site.answers.get(self.path, (404, {}, b"not here"))
                status, headers, body = answer(times) if callable(answer) else answer
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if headers.get("Content-Length", str(len(body))) != str(len(body)):
                    self.close_connection = True  # promised more than came: a cut connection

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def create_project(folder: Path) -> Project:
    """Create a project with ``lightmeter init``."""
    assert main(["init", str(folder), "--quiet"]) == 0
    return Project(folder.resolve())
