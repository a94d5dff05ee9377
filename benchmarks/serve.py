"""How fast a model is served: in this process, by TorchServe with our handler, by a plain handler, and by LitServe.

    python -m benchmarks.serve [--run RUN] [--photographs FOLDER] [--seconds 5]

All of them have the same network, two workers, and the same photographs, one after the other in one run. The plain
handler is what TorchServe's documentation shows ("Custom handlers"): a `BaseHandler` with Pillow in ``preprocess``, a
TorchScript file, the default settings, no tokens. With one client a contender and this process take turns, photograph
by photograph, so that other work on the machine weighs on both. Goals: with one client a median of at most 1.15 times
the one in this process; with 16 clients at least twice the plain handler's photographs a second; no errors.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import torch

from lightmeter.console import Console, table, using
from lightmeter.project import Project, create
from models import architectures
from models.predictor import Predictor
from models.runs import write_model
from models.spec import ModelSpec, Preprocessing, Target
from serve import server
from serve.archive import make_archive
from serve.config import choose_ports
from serve.java import find_java
from serve.state import home

CLIENTS = (1, 4, 16, 64)
WORKERS = 2
Ask = Callable[[bytes], None]

PLAIN_HANDLER = """
import io
import numpy as np
import torch
from PIL import Image
from ts.torch_handler.base_handler import BaseHandler

CORNERS = __CORNERS__

class Plain(BaseHandler):
    def preprocess(self, data):
        photographs = []
        for row in data:
            image = Image.open(io.BytesIO(row.get("data") or row.get("body"))).convert("RGB")
            patches = []
            for across, down in CORNERS:
                left, top = int(across * (image.width - SIZE + 1)), int(down * (image.height - SIZE + 1))
                patches.append(np.asarray(image.crop((left, top, left + SIZE, top + SIZE))).transpose(2, 0, 1))
            photographs.append((np.stack(patches).astype(np.float32) - 127.0) / 128.0)
        return torch.from_numpy(np.stack(photographs))

    def postprocess(self, data):
        return [{"probabilities": torch.softmax(row, 0).tolist()} for row in data]
"""


@dataclass(frozen=True)
class Measured:
    """What one contender did under one number of clients.

    Attributes:
        median_s: half of the answers came within this time.
        slow_s: 99 of 100 answers came within this time.
        per_second: photographs.
        errors: answers that were none.
    """

    median_s: float
    slow_s: float
    per_second: float
    errors: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder; else an untrained network of the recipe 'patches'")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files; else noise")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, using(Console(quiet=True)):
        os.environ["LIGHTMETER_SERVE__WORKERS"] = str(WORKERS)
        project = create(Path(folder) / "project")
        run = chosen.run or untrained(project.runs / "model")
        photographs = read_all(chosen.photographs) if chosen.photographs else noise()
        results = measure_all(project, run, photographs, chosen.seconds)
    report(results)


def measure_all(
    project: Project, run: Path, photographs: Sequence[bytes], seconds: float
) -> dict[str, dict[int, Measured]]:
    contenders = {
        "TorchServe, ours, batch 1": ours(project, run, batch=1),
        "TorchServe, ours, batch 8": ours(project, run, batch=8),
        "TorchServe, plain handler": plain(project.root, run),
        "LitServe, ours": litserve(project, run),
    }
    results: dict[str, dict[int, Measured]] = {}
    here = in_process(run)
    for name, contender in contenders.items():
        with contender as ask:
            measure(ask, photographs, 1, min(1.0, seconds))  # warm up
            beside, alone = take_turns([here, ask], photographs, 2 * seconds)
            results[f"in this process, beside {name}"] = {1: beside}
            results[name] = {1: alone, **{each: measure(ask, photographs, each, seconds) for each in CLIENTS[1:]}}
    return results


def take_turns(asks: Sequence[Ask], photographs: Sequence[bytes], seconds: float) -> list[Measured]:
    """Let contenders answer one photograph after the other in turns."""
    times: list[list[float]] = [[] for _ in asks]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for ask, taken in zip(asks, times, strict=True):
            begun = time.perf_counter()
            ask(photographs[len(taken) % len(photographs)])
            taken.append(time.perf_counter() - begun)
    return [
        Measured(float(np.median(taken)), float(np.percentile(taken, 99)), len(taken) / sum(taken), 0)
        for taken in times
    ]


def measure(ask: Ask, photographs: Sequence[bytes], clients: int, seconds: float) -> Measured:
    """Let a number of clients ask, each one photograph after the other."""
    times: list[float] = []
    errors: list[Exception] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        while (begun := time.perf_counter()) < end:
            try:
                ask(photographs[number % len(photographs)])
                times.append(time.perf_counter() - begun)
            except Exception as error:  # noqa: BLE001 - counted and shown
                errors.append(error)
            number += clients

    begun = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    if errors:
        print(f"  {errors[0]!r}", file=sys.stderr)
    median, slow = np.percentile(times, [50, 99]) if times else (np.nan, np.nan)
    return Measured(float(median), float(slow), len(times) / took, len(errors))


def in_process(run: Path) -> Ask:
    predictor = Predictor.load(run)

    def ask(data: bytes) -> None:
        predictor.predict([predictor.read(data)])

    return ask


@contextmanager
def ours(project: Project, run: Path, batch: int) -> Iterator[Ask]:
    os.environ["LIGHTMETER_SERVE__BATCH_SIZE"] = str(batch)
    archive = make_archive(run, project.archives)
    fresh = Project(project.root)
    state = server.start(fresh, [archive.path], server.Options())
    key = json.loads(home(fresh, "main").keys.read_text())["inference"]["key"]
    try:
        with client(Authorization=f"Bearer {key}") as http:
            yield lambda data: check(http.post(f"{state.inference}/predictions/{archive.name}", content=data))
    finally:
        server.stop(home(fresh, "main"))


@contextmanager
def plain(folder: Path, run: Path) -> Iterator[Ask]:
    store = folder / "plain"
    store.mkdir()
    archive_plainly(run, store)
    ports = choose_ports("127.0.0.1")
    configuration = store / "config.properties"
    configuration.write_text(
        f"inference_address=http://127.0.0.1:{ports.inference}\nmanagement_address=http://127.0.0.1:{ports.management}\n"
        f"metrics_address=http://127.0.0.1:{ports.metrics}\ngrpc_inference_port={ports.grpc_inference}\n"
        f"grpc_management_port={ports.grpc_management}\ndefault_workers_per_model={WORKERS}\n"
        "max_request_size=50000000\n"
    )
    temporary = tempfile.mkdtemp()
    java = find_java().path
    command = ["torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth", "--model-store", str(store)]
    environment = {**os.environ, "TMPDIR": temporary, "TEMP": temporary, "LOG_LOCATION": temporary}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(java.parent), environment["PATH"]])
    environment["METRICS_LOCATION"] = temporary
    address = f"http://127.0.0.1:{ports.inference}/predictions/plain"
    arguments = [*command, "--ts-config", str(configuration), "--models", "plain=plain.mar"]
    with background(arguments, environment, store), client() as http:
        wait_for(lambda: http.post(address, content=noise(1)[0]).is_success)
        yield lambda data: check(http.post(address, content=data))


@contextmanager
def litserve(project: Project, run: Path) -> Iterator[Ask]:
    port = choose_ports("127.0.0.1").inference
    name = Predictor.load(run).spec.name
    words = ["--project", project.root, "serve", "litserve", run, "--port", port, "--workers", WORKERS]
    command = [sys.executable, "-m", "lightmeter", *map(str, words)]
    with background(command, dict(os.environ), project.root), client() as http:
        address = f"http://127.0.0.1:{port}/predictions/{name}"
        wait_for(lambda: http.get(f"http://127.0.0.1:{port}/health").text == "ok")
        yield lambda data: check(http.post(address, json={"image": base64.b64encode(data).decode()}))


@contextmanager
def background(command: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        log = stack.enter_context((folder / "output.log").open("w"))
        process = stack.enter_context(
            subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder)
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def client(**headers: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=max(CLIENTS), max_keepalive_connections=max(CLIENTS))
    kind = {"Content-Type": "application/octet-stream"} if "Authorization" in headers else {}
    return httpx.Client(headers={**headers, **kind}, timeout=120, trust_env=False, limits=limits)


def check(answer: httpx.Response) -> None:
    answer.raise_for_status()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if happened():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError("a server did not start")


def archive_plainly(run: Path, store: Path) -> None:
    predictor = Predictor.load(run)
    settings = predictor.spec.preprocessing
    example = torch.zeros(1, settings.patches, 3, settings.patch_size, settings.patch_size)
    network = predictor.network
    target = predictor.spec.targets[0].name

    class OneTarget(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network({"patches": patches})[target]
            return found

    torch.jit.save(torch.jit.trace(OneTarget().eval(), example, check_trace=False), store / "model.pt")
    golden = 1.324717957244746
    steps = range(1, settings.patches + 1)
    corners = [((0.5 + step / golden) % 1.0, (0.5 + step / golden**2) % 1.0) for step in steps]
    handler = PLAIN_HANDLER.replace("__CORNERS__", repr(corners)).replace("SIZE", str(settings.patch_size))
    manifest = {
        "runtime": "python",
        "model": {
            "modelName": "plain",
            "modelVersion": "1.0",
            "serializedFile": "model.pt",
            "handler": "plain_handler.py",
        },
        "archiverVersion": "0.12.0",
    }
    with zipfile.ZipFile(store / "plain.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("plain_handler.py", handler)
        archive.write(store / "model.pt", "model.pt")


def untrained(folder: Path) -> Path:
    folder.mkdir(parents=True)
    spec = ModelSpec(
        name="model",
        version="1.0",
        lightmeter="0",
        recipe="patches",
        architecture="efficientnet-lite0",
        preprocessing=Preprocessing(),
        targets=(Target("shutter", ("slow", "fast")),),
    )
    torch.manual_seed(0)
    write_model(folder, spec, architectures.build(spec))
    return folder


def noise(count: int = 8) -> list[bytes]:
    """Return JPEG files of blurred noise, of 1024 × 768 pixels and about 200 kB, as photographs on the web are."""
    import io

    from PIL import Image, ImageFilter

    made = []
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)).save(file, "JPEG", quality=85)
        made.append(file.getvalue())
    return made


def read_all(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def report(results: dict[str, dict[int, Measured]]) -> None:
    from rich.console import Console as Rich

    rows = [
        (name, clients, round(m.median_s * 1000, 1), round(m.slow_s * 1000, 1), round(m.per_second, 1), m.errors)
        for name, by_clients in results.items()
        for clients, m in by_clients.items()
    ]
    Rich(width=110).print(table("", ("", "clients", "p50 ms", "p99 ms", "photographs/s", "errors"), rows))
    name = "TorchServe, ours, batch 1"
    alone = results[name][1].median_s / results[f"in this process, beside {name}"][1].median_s
    faster = results["TorchServe, ours, batch 8"][16].per_second / results["TorchServe, plain handler"][16].per_second
    errors = sum(m.errors for by_clients in results.values() for m in by_clients.values())
    print(f"one client, median: {alone:.2f} times in this process (goal: at most 1.15)")
    print(f"16 clients: {faster:.2f} times the plain handler's photographs a second (goal: at least 2)")
    print(f"errors: {errors} (goal: 0)")


if __name__ == "__main__":
    main()
