"""Measure the speed of serving: this process, TorchServe with Lightmeter's handler or a minimal one, and LitServe.

    python -m benchmarks.serve [--run RUN] [--photographs FOLDER] [--seconds 5]

All systems use the same network, two workers and the same photographs, and are measured one after another. The minimal
handler is that of TorchServe's documentation ("Custom handlers"): a `BaseHandler` with Pillow in ``preprocess``, a
TorchScript file, default settings, no tokens. With a single client, requests alternate between the system and this
process, so that other load on the machine affects both. Goals: with a single client a median latency of at most 1.15
times that of this process; with 16 clients at least twice the throughput of the minimal handler; no errors.
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

from benchmarks.serving_common import CONNECTIONS, noise, untrained
from benchmarks.serving_systems import Predict, in_process, litserve, torchserve_lightmeter, torchserve_minimal
from lightmeter import cli
from lightmeter.console import Console, table, use_console
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project

CLIENTS = (1, 4, 16, CONNECTIONS)


@dataclass(frozen=True)
class LoadResult:
    """Measurements of one system with a number of clients.

    Attributes:
        p50_s: Median latency in seconds.
        p99_s: 99th percentile of the latency in seconds.
        throughput: Photographs per second.
        errors: Number of failed requests.
    """

    p50_s: float
    p99_s: float
    throughput: float
    errors: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder (default: untrained network of the recipe 'patches')")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files (default: noise)")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration for each number of clients (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, use_console(Console(quiet=True)):
        cli.main(["init", str(Path(folder) / "project"), "--quiet"])
        project = Project(Path(folder) / "project")
        run = options.run or untrained(project.runs / "model", Preprocessing())
        files = sorted(options.photographs.glob("*.jpg")) if options.photographs else []
        photographs = [file.read_bytes() for file in files] or noise(8)
        results = measure_all(project, run, photographs, options.seconds)
    report(results)


def measure_all(
    project: Project, run: Path, photographs: Sequence[bytes], seconds: float
) -> dict[str, dict[int, LoadResult]]:
    """Return the measurements of every system by number of clients."""
    systems = {
        "TorchServe, Lightmeter, batch 1": torchserve_lightmeter(project, run, batch=1),
        "TorchServe, Lightmeter, batch 8": torchserve_lightmeter(project, run, batch=8),
        "TorchServe, minimal handler": torchserve_minimal(project.root, run),
        "LitServe, Lightmeter": litserve(project, run),
    }
    results: dict[str, dict[int, LoadResult]] = {}
    local = in_process(run)
    for name, system in systems.items():
        with system as predict:
            measure(predict, photographs, 1, min(1.0, seconds))  # warm up
            reference, single = alternate([local, predict], photographs, 2 * seconds)
            results[f"in this process, alternating with {name}"] = {1: reference}
            loads = {clients: measure(predict, photographs, clients, seconds) for clients in CLIENTS[1:]}
            results[name] = {1: single, **loads}
    return results


def alternate(systems: Sequence[Predict], photographs: Sequence[bytes], seconds: float) -> list[LoadResult]:
    """Measure systems in alternation, with a photograph each."""
    latencies: list[list[float]] = [[] for _ in systems]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for predict, durations in zip(systems, latencies, strict=True):
            started = time.perf_counter()
            predict(photographs[len(durations) % len(photographs)])
            durations.append(time.perf_counter() - started)
    return [load_result(durations, sum(durations), 0) for durations in latencies]


def measure(predict: Predict, photographs: Sequence[bytes], clients: int, seconds: float) -> LoadResult:
    """Measure a system with a number of clients, each of which waits for its prediction."""
    latencies: list[float] = []
    errors: list[Exception] = []
    end = time.perf_counter() + seconds

    def client(index: int) -> None:
        while (started := time.perf_counter()) < end:
            try:
                predict(photographs[index % len(photographs)])
                latencies.append(time.perf_counter() - started)
            except Exception as error:  # noqa: BLE001 - counted and reported
                errors.append(error)
            index += clients

    started = time.perf_counter()
    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        print(f"  {errors[0]!r}", file=sys.stderr)
    return load_result(latencies, time.perf_counter() - started, len(errors))


def load_result(latencies: Sequence[float], seconds: float, errors: int) -> LoadResult:
    p50, p99 = np.percentile(latencies, [50, 99]) if latencies else (np.nan, np.nan)
    return LoadResult(float(p50), float(p99), len(latencies) / seconds, errors)


def report(results: dict[str, dict[int, LoadResult]]) -> None:
    """Print all measurements and whether the goals are met."""
    from rich.console import Console as RichConsole

    rows = [
        (name, clients, round(r.p50_s * 1000, 1), round(r.p99_s * 1000, 1), round(r.throughput, 1), r.errors)
        for name, by_clients in results.items()
        for clients, r in by_clients.items()
    ]
    RichConsole(width=110).print(table("", ("", "clients", "p50 ms", "p99 ms", "photographs/s", "errors"), rows))
    name = "TorchServe, Lightmeter, batch 1"
    overhead = results[name][1].p50_s / results[f"in this process, alternating with {name}"][1].p50_s
    minimal = results["TorchServe, minimal handler"][16].throughput
    speed_up = results["TorchServe, Lightmeter, batch 8"][16].throughput / minimal
    errors = sum(r.errors for by_clients in results.values() for r in by_clients.values())
    print(f"1 client: {overhead:.2f} times the median latency in this process (goal: at most 1.15)")
    print(f"16 clients: {speed_up:.2f} times the throughput of the minimal handler (goal: at least 2)")
    print(f"errors: {errors} (goal: 0)")


if __name__ == "__main__":
    main()
