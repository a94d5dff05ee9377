"""Serving systems to compare: this process, TorchServe with Lightmeter's handler or a minimal one, and LitServe."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

import httpx
import torch

from benchmarks.speed.serving_common import Client, noise, serving
from lightmeter.images.memory import keep_freed_memory
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import read_spec
from lightmeter.project import Project
from lightmeter.serve.archive import Archive
from lightmeter.serve.torchserve.config import free_ports
from lightmeter.serve.torchserve.java import find_java
from lightmeter.serve.torchserve.state import server_directory
from lightmeter.web import free_port

WORKERS = 2
Predict = Callable[[bytes], object]
"""Function that sends a photograph to a serving system and waits for the prediction."""

_HANDLER = Path(__file__).with_name("plain_handler.py")
_PLASTIC_RATIO = 1.324717957244746  # real root of x³ = x + 1; gives the positions of `patch_positions`


def in_process(run: Path, engine: EngineName = "torch") -> Predict:
    keep_freed_memory()  # as in the workers of the server
    predictor = Predictor.load(run, engine=engine, threads=1)
    predictor.prepare("logits")
    return predictor.predict


@contextmanager
def torchserve_lightmeter(project: Project, archive: Archive, name: str) -> Iterator[Predict]:
    with serving(project, archive, name, workers=WORKERS) as served:
        yield served.client.predict


@contextmanager
def torchserve_minimal(folder: Path, run: Path) -> Iterator[Predict]:
    """Start TorchServe with the minimal handler, default settings and no tokens."""
    store = folder / "plain"
    store.mkdir()
    write_minimal_archive(run, store)
    port = free_port()
    (store / "config.properties").write_text(minimal_configuration(port))
    command = ["torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth", "--model-store", str(store)]
    command += ["--ts-config", str(store / "config.properties"), "--models", "plain=plain.mar"]
    programs = os.pathsep.join([str(Path(sys.executable).parent), str(find_java().path.parent), os.environ["PATH"]])
    url = f"http://127.0.0.1:{port}/predictions/plain"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folders = dict.fromkeys(("TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION"), temporary)
        client = Client(url, {})
        with background(command, os.environ | folders | {"PATH": programs}, store):
            wait_for(lambda: client.status(noise(1)[0]) == HTTPStatus.OK)
            yield client.predict


@contextmanager
def litserve(project: Project, run: Path) -> Iterator[Predict]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/predictions/{read_spec(run).name}"
    arguments = ["--project", project.root, "serve", "litserve", run, "--port", port, "--workers", WORKERS]
    command = [sys.executable, "-m", "lightmeter", *map(str, arguments), "--server", "litserve"]
    with background(command, dict(os.environ), project.root):
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success)
        keys = json.loads(server_directory(project, "litserve").keys.read_text(encoding="utf-8"))
        yield Client(url, {"Authorization": f"Bearer {keys['inference']['key']}"}).predict


def minimal_configuration(port: int) -> str:
    ports = free_ports()
    return (
        f"inference_address=http://127.0.0.1:{port}\nmanagement_address=http://127.0.0.1:{ports.management}\n"
        f"metrics_address=http://127.0.0.1:{ports.metrics}\ngrpc_inference_port={ports.grpc_inference}\n"
        f"grpc_management_port={ports.grpc_management}\ndefault_workers_per_model={WORKERS}\n"
        "max_request_size=50000000\n"
    )


def write_minimal_archive(run: Path, store: Path) -> None:
    """Write an archive with a TorchScript file, like `torch-model-archiver`."""
    predictor = Predictor.load(run)
    settings = predictor.spec.preprocessing
    example = torch.zeros(1, settings.patches, 3, settings.patch_size, settings.patch_size)
    network = SingleTarget(predictor).eval()
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), store / "model.pt")
    steps = range(1, settings.patches + 1)
    corners = [((0.5 + step / _PLASTIC_RATIO) % 1.0, (0.5 + step / _PLASTIC_RATIO**2) % 1.0) for step in steps]
    model = {"modelName": "plain", "modelVersion": "1.0", "serializedFile": "model.pt", "handler": _HANDLER.name}
    manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
    with zipfile.ZipFile(store / "plain.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("corners.json", json.dumps({"size": settings.patch_size, "corners": corners}))
        archive.write(_HANDLER, _HANDLER.name)
        archive.write(store / "model.pt", "model.pt")


class SingleTarget(torch.nn.Module):
    """Network from patches to the logits of its first target, for tracing to TorchScript."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.network, self.target = predictor.network, predictor.spec.targets[0].name

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network({"patches": patches})[self.target]
        return logits


@contextmanager
def background(command: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run a program and its child processes within the block."""
    with (
        (folder / "output.log").open("w") as log,
        subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
        ) as process,
    ):
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (httpx.HTTPError, HTTPException, OSError):
            pass
        time.sleep(0.2)
    raise TimeoutError("a server did not start")
