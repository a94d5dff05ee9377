"""The demo pipeline: the commands a user would run, on simulated photographs."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from lightmeter.demo.site import build_site
from lightmeter.errors import Interrupted, LightmeterError, UsageError
from lightmeter.terminal.console import get_console, table
from lightmeter.web import LocalServer

DATASET = "iso-demo"
TARGET = "iso"
PREDICTIONS = 6
HASH_LENGTH = 64


@dataclass(frozen=True, slots=True)
class DemoStep:
    """A step of the demo, with its result and duration in seconds."""

    name: str
    result: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DemoPrediction:
    """Predictions for one held-out photograph.

    Attributes:
        photograph: First digits of its SHA-256.
        label: Class according to EXIF.
        served: Prediction of TorchServe.
        local: Prediction in this process.
    """

    photograph: str
    label: str
    served: dict[str, Any]
    local: dict[str, Any]

    def row(self) -> tuple[str, str, str, str]:
        """Return the table row."""
        return self.photograph, self.label, _class_with_probability(self.served), _class_with_probability(self.local)


class DemoRunner:
    """Runs ``lightmeter`` commands one after the other and records the steps.

    Args:
        root: Folder for everything that the demo creates.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / "project"
        self.steps: list[DemoStep] = []

    def run(self, project: str, *args: str, show: bool = True) -> Any:
        """Run a command and return its JSON result.

        Args:
            project: Subfolder of `root` that is the working directory.
            *args: Command-line arguments.
            show: Print the command.

        Raises:
            LightmeterError: The command failed.
        """
        if show:
            get_console().note(f"{project} $ lightmeter {' '.join(_shorten(arg) for arg in args)}")
        folder = self.root / project
        folder.mkdir(parents=True, exist_ok=True)
        completed = subprocess.run(
            [sys.executable, "-m", "lightmeter", *args, "--json"],
            cwd=folder,
            env=os.environ | {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"},  # the demo site is on this machine
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode == Interrupted.exit_code:
            raise Interrupted(f"The demo was interrupted; its files are in {self.root}.")
        if completed.returncode:
            message = completed.stderr.strip() or f"exit code {completed.returncode}"
            raise LightmeterError(f"'lightmeter {' '.join(args)}' failed.", message.splitlines())
        return json.loads(completed.stdout)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; the block appends its results to the list."""
        start = time.monotonic()
        results: list[str] = []
        yield results
        self.steps.append(DemoStep(name, "; ".join(results), time.monotonic() - start))


def run_demo(root: Path, *, count: int, seed: int) -> None:
    """Simulate photographs, publish them on a local website and run the pipeline up to a served model.

    Args:
        root: Folder to create.
        count: Number of photographs.
        seed: Random seed of the scenes.

    Raises:
        UsageError: The folder exists and is not empty.
        LightmeterError: A step failed.
    """
    if root.exists() and any(root.iterdir()):
        raise UsageError(f"{root} already exists; name a new folder or delete it.")
    runner = DemoRunner(root.resolve())
    get_console().note(f"Output folder: {runner.root}")
    _simulate(runner, count, seed)
    site = Starlette(routes=[Mount("/", StaticFiles(directory=runner.root / "site"))])
    with LocalServer(site) as server:
        _harvest(runner, server.url)
    run = _train(runner)
    predictions = _serve(runner, run)
    _read(runner)
    _report(runner, run, predictions)


def unused_folder() -> Path:
    """Return ``lightmeter-demo``, or the first numbered variant that does not exist."""
    names = itertools.chain(["lightmeter-demo"], (f"lightmeter-demo-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _simulate(runner: DemoRunner, count: int, seed: int) -> None:
    with runner.step("Simulate photographs") as results:
        runner.run("camera", "init")
        counts = runner.run("camera", "harvest", "run", "simulator", "--count", str(count), "--seed", str(seed))
        results.append(f"{counts['fetched']} photographs")
    with runner.step("Publish them on a website") as results:
        runner.run("camera", "catalogue", "export", "photographs.csv", show=False)
        pages = build_site(runner.root / "camera", runner.root / "site")
        results.append(f"{pages} pages")


def _harvest(runner: DemoRunner, url: str) -> None:
    with runner.step("Crawl the site, read EXIF, run filters") as results:
        runner.run("project", "init")
        site = (runner.root / "site" / "site.toml").read_text(encoding="utf-8").format(url=url)
        (runner.project / "site.toml").write_text(site, encoding="utf-8")
        counts = runner.run("project", "harvest", "run", "website", "site.toml")
        results.append(", ".join(f"{counts[state]} {state}" for state in ("found", "fetched", "gone", "failed")))


def _train(runner: DemoRunner) -> str:
    with runner.step("Label from EXIF, split by photographer and camera") as results:
        runner.run("project", "labels", "apply", TARGET)
        dataset = runner.run("project", "labels", "split", DATASET, "--target", TARGET, "--ratios", "60/15/25")
        results.append(", ".join(f"{number} {name}" for name, number in dataset["splits"].items()))
    with runner.step("Train a model"):
        run: str = runner.run("project", "models", "train", "patches", "--data", f"datasets/{DATASET}")["run"]
    with runner.step("Evaluate it on other photographers") as results:
        metrics = runner.run("project", "models", "evaluate", run)["metrics"]["test"]["targets"][TARGET]
        results.append(
            f"mean error {_format(metrics['mae_stops'])} stops on {metrics['photographs']} photographs; "
            f"baseline (median): {_format(metrics['baselines']['median']['mae_stops'])}"
        )
    return run


def _serve(runner: DemoRunner, run: str) -> list[DemoPrediction]:
    photographs = _held_out(runner.project)
    files = [str(path) for path, _ in photographs]
    with runner.step("Write a model archive") as results:
        archive = runner.run("project", "serve", "archive", run)
        results.append(f"{Path(archive['archive']).stat().st_size / 1e6:.0f} MB")
    try:
        with runner.step("Start TorchServe"):
            runner.run("project", "serve", "start")
        with runner.step("Predict held-out photographs with TorchServe") as results:
            served = runner.run("project", "serve", "predict", archive["name"], *files)
            results.append(f"{len(served)} photographs")
    finally:
        runner.run("project", "serve", "stop", show=False)
    with runner.step("Predict the same photographs in this process") as results:
        local = runner.run("project", "models", "predict", run, *files)
        equal = sum(a["predictions"] == b["predictions"] for a, b in zip(served, local, strict=True))
        results.append(f"{equal} of {len(local)} predictions identical")
    return [
        DemoPrediction(path.name[:12], label, remote["predictions"][TARGET], here["predictions"][TARGET])
        for (path, label), remote, here in zip(photographs, served, local, strict=True)
    ]


def _read(runner: DemoRunner) -> None:
    """Read the photographs that ship with Lightmeter (credits: ``photographs/ATTRIBUTION.csv``)."""
    photographs = sorted((Path(__file__).parent / "photographs").glob("*.jpg"))
    with runner.step("Read real photographs with the model that ships") as results:
        for document in runner.run("project", "read", *map(str, photographs), show=False):
            estimates = (document["settings"][name]["estimate"] for name in ("aperture", "shutter", "iso", "medium"))
            results.append(f"{Path(document['file']).stem}: {', '.join(estimates)}")


def _held_out(project: Path) -> list[tuple[Path, str]]:
    """Return photographs of the test split with their labels."""
    import pyarrow.parquet as pq

    rows = pq.read_table(project / "datasets" / DATASET / "manifest.parquet").to_pylist()
    test = [row for row in rows if row["split"] == "test" and row[f"label_{TARGET}"]]
    sample = test[:: max(1, len(test) // PREDICTIONS)][:PREDICTIONS]
    return [(project / "store" / row["path"], row[f"label_{TARGET}"]) for row in sample]


def _report(runner: DemoRunner, run: str, predictions: list[DemoPrediction]) -> None:
    outputs = {
        "report": Path(run) / "report.html",
        "plots": Path(run) / "plots",
        "data set": runner.project / "datasets" / DATASET / "README.md",
        "catalogue": runner.project / "catalogue.sqlite",
        "website": runner.root / "site" / "index.html",
    }
    get_console().emit(
        {
            "folder": runner.root,
            "steps": [asdict(step) for step in runner.steps],
            "predictions": [asdict(prediction) for prediction in predictions],
            "outputs": outputs,
        },
        [
            table(
                "Held-out photographs",
                ("photograph", "label", "TorchServe", "this process"),
                [prediction.row() for prediction in predictions],
            ),
            table("Steps", ("step", "result", "seconds"), [(s.name, s.result, s.seconds) for s in runner.steps]),
            table("Output", ("", ""), list(outputs.items())),
        ],
    )


def _class_with_probability(prediction: dict[str, Any]) -> str:
    return f"{prediction['class']} ({prediction['probabilities'][prediction['class']]:.6f})"


def _format(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _shorten(arg: str) -> str:
    """Shorten the path of a stored photograph to the first digits of its hash."""
    path = Path(arg)
    return f"store/{path.parent.name}/{path.name[:8]}…" if len(path.name) == HASH_LENGTH else arg
