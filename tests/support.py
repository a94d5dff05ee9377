"""Helpers of all tests: commands, encoded images, HTTP servers on loopback and projects."""

import atexit
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightmeter import project as project_module
from lightmeter.cli import main
from lightmeter.project import Project
from tests.command_server import ForkRequest, ForkResult

_POLL_S = 0.05
_ONE_WORKER = {"LIGHTMETER_INSPECT__WORKERS": "1"}
"""Environment of forked commands: a second process for a few photographs takes more time than it saves."""
_START_SERVER = "import os, sys; sys.path[0] = os.getcwd(); from tests.command_server import serve; serve()"
"""Code of the server of commands; started with ``-m``, each worker process would import it anew."""

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class CommandResult:
    """The result of a command.

    Attributes:
        code: Exit code.
        output: Standard output.
        error: Standard error.
        process: How the process ended, if the command had one.
    """

    code: int
    output: str
    error: str
    process: ForkResult | None = None

    @property
    def document(self) -> Any:
        """The JSON document on standard output; None if there is none."""
        return json.loads(self.output or "null")


def run_command(*args: object, project: Path | None = None) -> CommandResult:
    """Run ``lightmeter ARGS`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    options = ["--project", str(project)] if project else []
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*map(str, args), *options])
    return CommandResult(code, out.getvalue(), err.getvalue())


def run_json(*args: object, code: int = 0, project: Path | None = None) -> Any:
    """Run a command with ``--json`` and return the document it prints; fail unless it exits with ``code``."""
    result = run_command(*args, "--json", project=project)
    assert result.code == code, result.error
    return result.document


def run_text(*args: object, code: int = 0) -> str:
    """Run a command and return its standard output; fail unless it exits with ``code``."""
    result = run_command(*args)
    assert result.code == code, result.error
    return result.output


def run_error(*args: object, code: int = 2) -> str:
    """Run a command that must fail with ``code`` and one sentence on standard error; return the sentence."""
    result = run_command(*args)
    assert result.code == code, result.error
    assert not result.output
    assert "Traceback" not in result.error
    assert result.error.count("\n") == 1
    return result.error


class BackgroundCommand:
    """A command that runs beside others in a process of its own.

    Attributes:
        pid: Number of the process.
    """

    def __init__(self, runner: "CommandRunner", pid: int, error: Path) -> None:
        self.pid = pid
        self._runner, self._error = runner, error
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            self._code = self._runner._ask(self.pid)
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self) -> tuple[int, str]:
        """Wait for the end of the process; return its exit code and standard error."""
        while (code := self.poll()) is None:
            time.sleep(_POLL_S)
        return code, self._error.read_text(errors="replace")


class CommandRunner:
    """The ``lightmeter`` command, run in a separate process; `run` and calls fork it from `tests.command_server`.

    Args:
        modules: More modules to import before forking.
        python: Interpreter.
        root: Folder with the package ``tests``, in which the processes start.
    """

    def __init__(self, *modules: str, python: Path | str = sys.executable, root: Path | None = None) -> None:
        self._modules, self._python, self._root = modules, str(python), root or ROOT
        self._server: subprocess.Popen[str] | None = None

    def __call__(self, *args: object, code: int = 0, **options: Any) -> Any:
        """Run a command with ``--json`` and return its document; fail unless it exits with ``code``."""
        result = self.run(*args, "--json", **options)
        assert result.code == code, result.error
        assert "Traceback" not in result.error
        return json.loads(result.output)

    def run(
        self, *args: object, env: dict[str, str] | None = None, folder: Path | None = None, **options: Any
    ) -> CommandResult:
        """Run a command and return its result.

        Args:
            *args: Arguments.
            env: Additional environment variables.
            folder: Working directory (default: the current one).
            **options: Further fields of `ForkRequest`.
        """
        with tempfile.TemporaryDirectory() as temporary:
            output, error = Path(temporary, "output"), Path(temporary, "error")
            request = ForkRequest(
                args=[str(arg) for arg in args],
                folder=str(folder or Path.cwd()),
                environment=os.environ | _ONE_WORKER | (env or {}),
                output=str(output),
                error=str(error),
                **options,
            )
            process = ForkResult(**self._ask(asdict(request)))
            texts = [path.read_text(errors="replace") if path.exists() else "" for path in (output, error)]
            return CommandResult(process.code, texts[0], texts[1], process)

    def start(self, *args: object, env: dict[str, str], error: Path) -> BackgroundCommand:
        """Start a command without waiting for its end.

        Args:
            *args: Arguments.
            env: Additional environment variables.
            error: File for its standard error.
        """
        texts = [str(arg) for arg in args]
        request = ForkRequest(
            texts, str(Path.cwd()), os.environ | _ONE_WORKER | env, os.devnull, str(error), background=True
        )
        return BackgroundCommand(self, self._ask(asdict(request)), error)

    def _ask(self, request: object) -> Any:
        """Send a request to the server; return the answer."""
        if self._server is None:
            command = [self._python, "-c", _START_SERVER, *self._modules]
            pipe = subprocess.PIPE
            self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=self._root)
        assert self._server.stdin
        assert self._server.stdout
        try:
            print(json.dumps(request), file=self._server.stdin, flush=True)
            return json.loads(self._server.stdout.readline())
        except BaseException:  # a time limit of pytest: the answer would reach the next request
            self.close()
            raise

    def process(self, *args: object, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command in a new interpreter, by default in this environment, and return the completed process."""
        return subprocess.run(self.command(*args), capture_output=True, text=True, check=False, env=env)

    def command(self, *args: object) -> list[str]:
        """Return the arguments of a new interpreter that runs a command."""
        return [self._python, "-m", "lightmeter", *map(str, args)]

    def close(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
            self._server = None


ALL_MODULES = (
    *(f"lightmeter.harvest.commands.{name}" for name in ("harvest", "inspect", "catalogue", "store")),
    *(f"lightmeter.labels.commands.{name}" for name in ("annotations", "datasets", "quality", "splitting", "targets")),
    *(f"lightmeter.labels.datasets.{name}" for name in ("freeze", "verify", "export.export")),
    *(f"lightmeter.models.commands.{name}" for name in ("training", "predict", "analysis", "search")),
    *(f"lightmeter.models.{name}" for name in ("training.train", "evaluation.evaluate", "api")),
    *(f"lightmeter.serve.{name}" for name in ("archive", "commands", "torchserve.server")),
    *(f"lightmeter.models.training.heads.{name}" for name in ("boosting", "mixed_effects", "probe")),
    *("lightmeter.harvest.store.check", "lightmeter.models.architectures.backbones", "lightmeter.terminal.tables"),
    *(
        "pandas",
        "pyarrow.dataset",
        "pyarrow.pandas_compat",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "torch._dynamo",
    ),
)
"""Modules of all commands, also those that import torch, for `CommandRunner`."""

LOOPBACK = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}
"""Environment in which a crawl may request servers on loopback."""

EXIF_IFD = 0x8769
DEFAULT_SETTINGS: Mapping[int, object] = {0x829D: 2.8, 0x829A: 0.008, 0x8827: 200, 0x920A: 50.0}
"""F-number, exposure time, ISO and focal length by EXIF tag number."""


def exif_tags(settings: Mapping[int, object], **tags: object) -> Image.Exif:
    """Return EXIF with tags of the Exif IFD by number, and ``make``, ``model`` and ``orientation`` of the main IFD."""
    numbers = {"make": 0x010F, "model": 0x0110, "orientation": 0x0112}
    exif = Image.Exif()
    for name, value in tags.items():
        exif[numbers[name]] = value
    exif.get_ifd(EXIF_IFD).update(settings)
    return exif


def encode_image(image: Image.Image | NDArray[Any], kind: str = "JPEG", **options: Any) -> bytes:
    """Return the bytes of an image file; ``kind`` and the options are Pillow's (``quality``, ``exif``)."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def jpeg(
    seed: int = 0, size: tuple[int, int] = (160, 120), settings: Mapping[int, object] | None = DEFAULT_SETTINGS
) -> bytes:
    """Return a small JPEG of noise.

    Args:
        seed: Another seed gives another image.
        size: Width and height.
        settings: Tags of the Exif IFD by number; None for a file without EXIF.
    """
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    exif = b"" if settings is None else exif_tags(settings, make="Lightmeter Works")
    return encode_image(pixels, quality=90, exif=exif)


@dataclass
class HttpRequest:
    """A request, with the parameters of URL and form together."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass
class HttpResponse:
    """A response; a ``content_length`` other than the body's length breaks the connection.

    Attributes:
        content: Body; anything but bytes is encoded as JSON.
        status: Status code.
        headers: Headers.
        content_length: Length to announce; by default that of the body.
    """

    content: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_length: int | None = None

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up, which some tests do on purpose."""


class LoopbackServer:
    """An HTTP server on loopback that answers each request with the result of a function.

    Attributes:
        url: URL of the server.
    """

    def __init__(self, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(respond))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(respond: Callable[[HttpRequest], HttpResponse]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            params = {name: values[0] for name, values in parse_qs(f"{urlsplit(self.path).query}&{form}").items()}
            response = respond(HttpRequest(self.command, self.path, params, dict(self.headers)))
            body = response.body
            length = len(body) if response.content_length is None else response.content_length
            self.send_response(response.status)
            for name, value in ({"Content-Length": str(length)} | response.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            if length != len(body):
                self.close_connection = True

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


class Site(LoopbackServer):
    """A website on loopback with responses that a test sets.

    Attributes:
        responses: By path; a function is called with the number of earlier requests of the path.
        requests: Number of requests of each path.
        log: Time of each request, on `time.monotonic`'s clock, and its path.
        user_agents: User agents of all requests.
    """

    def __init__(self) -> None:
        self.responses: dict[str, HttpResponse | Callable[[int], HttpResponse]] = {}
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self.user_agents: set[str] = set()
        super().__init__(self._respond)

    def add_page(self, path: str, html: str) -> None:
        self.responses[path] = HttpResponse(html.encode(), headers={"Content-Type": "text/html"})

    def add_photo(self, path: str, data: bytes) -> None:
        self.responses[path] = HttpResponse(data, headers={"Content-Type": "image/jpeg"})

    def _respond(self, request: HttpRequest) -> HttpResponse:
        self.user_agents.add(request.headers.get("User-Agent", ""))
        count = self.requests[request.path]
        self.log.append((time.monotonic(), request.path))
        self.requests[request.path] += 1
        response = self.responses.get(request.path, HttpResponse(b"not found", 404))
        return response(count) if callable(response) else response


def wait_until(condition: Callable[[], object], timeout_s: float = 30, *, interval_s: float = 0.05) -> None:
    """Wait until a condition is true; fail after a timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(interval_s)


def create_project(folder: Path) -> Project:
    """Create a project as ``lightmeter init`` does, but on SQLite with a copy of one empty catalogue."""
    if os.environ.get("LIGHTMETER_CATALOGUE__URL"):
        assert main(["init", str(folder), "--quiet"]) == 0
        return Project(folder.resolve())
    project = project_module.create_project(folder)
    copy_empty_catalogue(project.root / "catalogue.sqlite")
    return project


def copy_empty_catalogue(file: Path) -> None:
    """Write a SQLite catalogue of the newest revision without rows; the migrations would take a tenth of a second."""
    shutil.copyfile(_empty_catalogue(), file)


@functools.cache
def _empty_catalogue() -> Path:
    folder = tempfile.mkdtemp(prefix="lightmeter-empty-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder, "catalogue.sqlite")
    migrate(f"sqlite:///{file}")
    return file


def migrate(url: str) -> None:
    """Migrate the empty database of a URL to the newest revision."""
    from lightmeter.harvest.catalogue.database.migrate import upgrade
    from lightmeter.harvest.catalogue.database.session import engine_for

    engine = engine_for(url)
    upgrade(engine)
    engine.dispose()
