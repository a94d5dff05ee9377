"""``lightmeter demo``: the whole chain, by the commands that anyone would give, on photographs that it makes itself."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lightmeter import console
from lightmeter.console import table
from lightmeter.demo.site import build_site
from lightmeter.errors import Interrupted, LightmeterError, UsageError

DATASET = "iso-demo"
TARGET = "iso"
SHOWN = 6
HASH_LENGTH = 64


@dataclass(frozen=True, slots=True)
class DemoStep:
    """A line of the closing table."""

    what: str
    came_of_it: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What was said of one held-out photograph; ``served`` and ``here`` as predictions are documented."""

    photograph: str
    truth: str
    served: dict[str, Any]
    here: dict[str, Any]

    def row(self) -> tuple[str, str, str, str]:
        """Return the answer as a line to read."""
        said = [f"{one['class']} ({one['probabilities'][one['class']]:.6f})" for one in (self.served, self.here)]
        return self.photograph, self.truth, said[0], said[1]


class DemoRunner:
    """Runs commands of ``lightmeter`` in a project, one after the other, and keeps what came of each.

    Args:
        root: the folder that everything lies in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[DemoStep] = []

    def run(self, project: str, *words: str, quietly: bool = False) -> Any:
        """Run one command, as a person would, and return the document that it prints.

        Args:
            project: folder below the root that is the working directory.
            words: of the command line.
            quietly: do not show the command.

        Raises:
            LightmeterError: if it fails, with its own sentence.
        """
        if not quietly:
            shown = " ".join(_short(word) for word in words)
            console.get_console().note(f"{project} $ lightmeter {shown}")
        folder = self.root / project
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "lightmeter", *words, "--json"],
            cwd=folder,
            env=os.environ | {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"},  # the demo's site is on this machine
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == Interrupted.exit_code:
            raise Interrupted(f"The demo was stopped; what it made is in {self.root}.")
        if done.returncode:
            raise LightmeterError(f"'lightmeter {' '.join(words)}' failed: {done.stderr.strip() or 'without a word'}")
        return json.loads(done.stdout)

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Time a step; what the block appends to the list stands in the table beside it."""
        began = time.monotonic()
        said: list[str] = []
        yield said
        self.steps.append(DemoStep(what, "; ".join(said), time.monotonic() - began))


def run_demo(root: Path, *, count: int, seed: int) -> None:
    """Make photographs, put them on a web site, and go from there to an answer from TorchServe.

    Args:
        root: folder to make; everything stays in it.
        count: photographs.
        seed: of the scenes.

    Raises:
        UsageError: if the folder exists.
        LightmeterError: if a step fails.
    """
    if root.exists() and any(root.iterdir()):
        raise UsageError(f"{root} is there already; name a new folder, or delete it.")
    chain = DemoRunner(root.resolve())
    console.get_console().note(f"Everything goes into {chain.root}")
    _take_photographs(chain, count, seed)
    with _serving(chain.root / "site") as address:
        _harvest(chain, address)
    run = _learn(chain)
    answers = _serve(chain, run)
    _conclude(chain, run, answers)


def free_folder() -> Path:
    """Return ``lightmeter-demo``, or the first numbered name that is not taken."""
    names = itertools.chain(["lightmeter-demo"], (f"lightmeter-demo-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _take_photographs(chain: DemoRunner, count: int, seed: int) -> None:
    with chain.step("photographs taken by the simulator") as said:
        chain.run("camera", "init")
        taken = chain.run("camera", "harvest", "run", "simulator", "--count", str(count), "--seed", str(seed))
        said.append(f"{taken['fetched']} photographs")
    with chain.step("put on a web site") as said:
        chain.run("camera", "catalogue", "export", "photographs.csv", quietly=True)
        pages = build_site(chain.root / "camera", chain.root / "site")
        said.append(f"{pages} pages")


def _harvest(chain: DemoRunner, address: str) -> None:
    with chain.step("site crawled, EXIF read, photographs inspected") as said:
        chain.run("project", "init")
        site = (chain.root / "site" / "site.toml").read_text(encoding="utf-8").format(address=address)
        (chain.root / "project" / "site.toml").write_text(site, encoding="utf-8")
        found = chain.run("project", "harvest", "run", "website", "site.toml")
        said.append(", ".join(f"{found[state]} {state}" for state in ("found", "fetched", "gone", "failed")))


def _learn(chain: DemoRunner) -> str:
    with chain.step("labels from EXIF, split by photographer and camera") as said:
        chain.run("project", "labels", "apply", TARGET)
        split = chain.run("project", "labels", "split", DATASET, "--target", TARGET, "--ratios", "60/15/25")
        said.append(", ".join(f"{number} {name}" for name, number in split["splits"].items()))
    with chain.step("model trained"):
        run: str = chain.run("project", "models", "train", "patches", "--data", f"datasets/{DATASET}")["run"]
    with chain.step("model evaluated on photographers it has not seen") as said:
        found = chain.run("project", "models", "evaluate", run)["metrics"]["test"]["targets"][TARGET]
        said.append(
            f"mean error {_figure(found['error_stops'])} stops on {found['photographs']} photographs; "
            f"always saying the median: {_figure(found['baselines']['median']['error_stops'])}"
        )
    return run


def _figure(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _serve(chain: DemoRunner, run: str) -> list[CommandResult]:
    photographs = _held_out(chain.root / "project")
    files = [str(path) for path, _ in photographs]
    with chain.step("archive written") as said:
        archive = chain.run("project", "serve", "archive", run)
        said.append(f"{Path(archive['archive']).stat().st_size / 1e6:.0f} MB")
    try:
        with chain.step("TorchServe started, worker ready"):
            chain.run("project", "serve", "start")
        with chain.step("held-out photographs answered by TorchServe") as said:
            served = chain.run("project", "serve", "predict", archive["name"], *files)
            said.append(f"{len(served)} photographs")
    finally:
        chain.run("project", "serve", "stop", quietly=True)
    with chain.step("the same photographs answered in-process") as said:
        here = chain.run("project", "models", "predict", run, *files)
        equal = sum(a["predictions"] == b["predictions"] for a, b in zip(served, here, strict=True))
        said.append(f"{equal} of {len(here)} answers equal, bit for bit")
    return [
        CommandResult(path.name[:12], truth, served_one["predictions"][TARGET], here_one["predictions"][TARGET])
        for (path, truth), served_one, here_one in zip(photographs, served, here, strict=True)
    ]


def _held_out(project: Path) -> list[tuple[Path, str]]:
    """Return some photographs of the test split, with what their EXIF says."""
    import pyarrow.parquet as pq

    rows = pq.read_table(project / "datasets" / DATASET / "manifest.parquet").to_pylist()
    test = [row for row in rows if row["split"] == "test" and row[f"label_{TARGET}"]]
    spread = test[:: max(1, len(test) // SHOWN)][:SHOWN]
    return [(project / "store" / row["path"], row[f"label_{TARGET}"]) for row in spread]


def _conclude(chain: DemoRunner, run: str, answers: list[CommandResult]) -> None:
    project = chain.root / "project"
    look = {
        "report": Path(run) / "report.html",
        "plots": Path(run) / "plots",
        "data set": project / "datasets" / DATASET / "README.md",
        "catalogue": project / "catalogue.sqlite",
        "photographs": chain.root / "site" / "index.html",
    }
    console.get_console().emit(
        {
            "folder": chain.root,
            "steps": [asdict(step) for step in chain.steps],
            "answers": [asdict(answer) for answer in answers],
            "look": look,
        },
        [
            table(
                "Held-out photographs", ("photograph", "truth", "TorchServe", "in-process"), [a.row() for a in answers]
            ),
            table(
                "What was done",
                ("step", "came of it", "seconds"),
                [(s.what, s.came_of_it, s.seconds) for s in chain.steps],
            ),
            table("Where to look", ("", ""), list(look.items())),
        ],
    )


def _short(word: str) -> str:
    """Return a word of a command line as it is shown: of a stored photograph's path only the beginning of its hash."""
    path = Path(word)
    return f"store/{path.parent.name}/{path.name[:8]}…" if len(path.name) == HASH_LENGTH else word


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback while the block runs; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(SimpleHTTPRequestHandler):
    """Answers requests without a word on the terminal."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""
