"""How fast a model is served: in this process, by TorchServe with our handler, by a plain handler, and by LitServe.

    python -m benchmarks.serve [--run RUN] [--photographs FOLDER] [--seconds 5]

All of them have the same network, two workers, and the same photographs, one after the other in one run. The plain
handler is what TorchServe's documentation shows ("Custom handlers"): a `BaseHandler` with Pillow in ``preprocess``, a
TorchScript file, the default settings, no tokens. With one client a contender and this process take turns, photograph
by photograph, so that other work on the machine weighs on both. Goals: with one client a median of at most 1.15 times
the one in this process; with 16 clients at least twice the plain handler's photographs a second; no errors.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contenders import Ask, in_process, litserve, ours, plain
from benchmarks.material import CONNECTIONS, noise, untrained
from lightmeter import cli
from lightmeter.console import Console, table, use_console
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project

CLIENTS = (1, 4, 16, CONNECTIONS)


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
    with tempfile.TemporaryDirectory() as folder, use_console(Console(quiet=True)):
        cli.main(["init", str(Path(folder) / "project"), "--quiet"])
        project = Project(Path(folder) / "project")
        run = chosen.run or untrained(project.runs / "model", Preprocessing())
        files = sorted(chosen.photographs.glob("*.jpg")) if chosen.photographs else []
        photographs = [file.read_bytes() for file in files] or noise(8)
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
