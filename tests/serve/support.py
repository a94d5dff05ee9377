"""Helpers of the serving tests: commands, untrained models, photographs and a client of a running server."""

import gzip
import io
import json
import signal
import subprocess
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tomli_w
import torch
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.models import architectures
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from lightmeter.models.training.runs import write_model
from lightmeter.project import Project
from lightmeter.serve.torchserve.state import ServedModel, ServerState, server_directory
from tests.support import CommandResult, encode_image, exif_tags, run_command, wait_until

OCTET_STREAM = {"Content-Type": "application/octet-stream"}
HTTP = httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""A client for all requests: a new one reads the certificates of the system. Connections are not kept, as servers end."""

CAMERA_SETTINGS: Mapping[int, object] = {0x829A: IFDRational(1, 250), 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0}
"""EXIF of 1/250 s, f/2.8, ISO 400 and 35 mm."""


def run_in_project(*args: object, project: Project) -> CommandResult:
    """Run a command with ``--json`` in a project."""
    return run_command(*args, "--json", project=project.root)


def make_run(folder: Path, name: str, seed: int = 0) -> Path:
    """Write the run of an untrained patch model with an ordinal and a nominal target."""
    spec = ModelSpec(
        name=name,
        version="1.0",
        lightmeter="0",
        recipe="patches",
        architecture="efficientnet-lite0",
        preprocessing=Preprocessing(patches=2, patch_size=64),
        targets=(
            Target("shutter", ("slow", "middle", "fast"), (-3.0, -6.0, -10.0), "log2 s"),
            Target("medium", ("digital", "film")),
        ),
        data={"name": "synthetic", "manifest_sha256": "ab" * 32},
    )
    _write_run(folder, spec, seed)
    targets = {
        "shutter": {"classes": ["slow", "middle", "fast"], "confusion_matrix": [[5, 1, 0], [0, 5, 1], [0, 0, 6]]},
        "medium": {"classes": ["digital", "film"], "confusion_matrix": [[5, 1], [2, 4]]},
    }
    (folder / "metrics.json").write_text(json.dumps({"validation": {"targets": targets}}), encoding="utf-8")
    (folder / "README.md").write_text("# An untrained model\n", encoding="utf-8")
    return folder


def make_fusion_run(folder: Path) -> Path:
    """Write the run of an untrained model with EXIF inputs and a multi-label target."""
    spec = ModelSpec(
        name="fusion",
        version="1.0",
        lightmeter="0",
        recipe="lederer-fusion",
        architecture="fusion",
        preprocessing=Preprocessing(patches=0, view_size=64, exif=("f_number", "iso")),
        targets=(
            Target("concept", ("portrait", "street", "night"), multilabel=True),
            Target("medium", ("digital", "film")),
        ),
        ranges={"long_side": (300.0, 400.0)},
    )
    _write_run(folder, spec, 8)
    return folder


def make_untrained_run(folder: Path, architecture: str, preprocessing: Preprocessing) -> Path:
    """Write the run of an untrained model of any architecture."""
    targets = (Target("shutter", ("slow", "fast"), (-3.0, -10.0), "log2 s"),)
    _write_run(folder, ModelSpec(folder.name, "1.0", "0", "none", architecture, preprocessing, targets), 0)
    return folder


def _write_run(folder: Path, spec: ModelSpec, seed: int) -> None:
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    write_model(folder, spec, architectures.build(spec))


def break_archive(archive: Path) -> Path:
    """Change an archive so that its weights do not fit its model."""
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    spec = tomllib.loads(members["run/model.toml"].decode())
    spec["targets"][0]["classes"].append("faster")
    spec["targets"][0]["stops"].append(-12.0)
    members["run/model.toml"] = tomli_w.dumps(spec).encode()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return archive


def make_photo(seed: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """Return a JPEG of coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encode_image(pixels, quality=90)


def photo_with_exif(settings: Mapping[int, object] = CAMERA_SETTINGS, orientation: int = 1) -> bytes:
    """Return the photograph `make_photo()` with EXIF; the settings are tags of the Exif IFD by number."""
    with Image.open(io.BytesIO(make_photo())) as image:
        return encode_image(image, quality="keep", exif=exif_tags(settings, orientation=orientation))


def server_state(folder: Path, url: str, model: ServedModel, **fields: Any) -> ServerState:
    """Return the state of a TorchServe that does not run, with all its APIs at one address."""
    return ServerState(
        framework="torchserve",
        process="host_1~4194305~1",
        token="0" * 32,
        folder=str(folder),
        inference=url,
        metrics=url,
        management=url,
        temporary="/tmp/none",
        models=(model,),
        **fields,
    )


@dataclass(frozen=True)
class RunningServer:
    """A client of a running server, which uses its addresses and tokens."""

    project: Project
    name: str = "main"

    @property
    def state(self) -> Any:
        """The saved state of the server."""
        state = server_directory(self.project, self.name).read()
        assert state is not None
        return state

    def token(self, token_type: str = "inference") -> str:
        """Return a token."""
        return json.loads(server_directory(self.project, self.name).keys.read_text())[token_type]["key"]

    def post(self, path: str, token: str | None = None, **request: Any) -> httpx.Response:
        """Send a request to the inference API."""
        headers = {"Authorization": f"Bearer {token or self.token()}", **request.pop("headers", {})}
        return HTTP.post(self.state.inference + path, headers=headers, **request)

    def metrics(self) -> str:
        """Return the Prometheus metrics."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        return HTTP.get(f"{self.state.metrics}/metrics", headers=headers).text

    def worker_pid(self) -> int:
        """Return the process id of the first worker."""
        document = run_in_project("serve", "status", "--server", self.name, project=self.project).document
        return document["models"][0]["pids"][0]


class TraceCollector:
    """A collector of OpenTelemetry on loopback.

    Attributes:
        url: Its address.
        spans: The spans that it has received.
    """

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        spans: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self.spans = spans
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def names(self, trace: str) -> set[str]:
        """Return the names of the spans of a trace, given in hexadecimal."""
        return {span.name for span in self.spans if span.trace_id.hex() == trace}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Endpoint:
    """A model served by an engine."""

    url: str
    token: str

    def send(self, path: str = "/predictions/tiny", method: str = "POST", **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **request.pop("headers", {})}
        return HTTP.request(method, self.url + path, headers=headers, **request)


def requests_in_flight(endpoint: Endpoint, process: "subprocess.Popen[bytes]") -> list[httpx.Response]:
    """Return the responses to 24 requests that a server had accepted before SIGTERM."""
    responses: list[httpx.Response] = []
    sent = threading.Barrier(25)
    photo = make_photo()

    def send() -> None:
        def body() -> Iterator[bytes]:
            yield photo[:1000]
            sent.wait()  # the request has been accepted, but its body has not arrived
            yield photo[1000:]

        responses.append(endpoint.send(content=body(), headers=OCTET_STREAM))

    clients = [threading.Thread(target=send) for _ in range(24)]
    for client in clients:
        client.start()
    wait_until(lambda: sent.n_waiting == 24)
    process.send_signal(signal.SIGTERM)
    sent.wait()
    for client in clients:
        client.join()
    return responses
