"""Measure the speed of serving against predictions without a server.

    make bench ONLY=serving

All systems use the same network, two workers and the same photographs. The minimal handler is that of TorchServe's
documentation ("Custom handlers"): a `BaseHandler` with Pillow in ``preprocess``, a TorchScript file, default settings,
no tokens. With a single client, requests alternate between the systems, so that other load on the machine affects all.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measurement import Benchmark, Contender, Goal
from benchmarks.serving_common import noise, untrained
from benchmarks.serving_systems import (
    WORKERS,
    Predict,
    in_process,
    litserve,
    torchserve_lightmeter,
    torchserve_minimal,
)
from lightmeter import cli
from lightmeter.console import Console, use_console
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project

SECONDS = 3.0
CLIENTS = 16
LATENCY, THROUGHPUT = "1 client, median ms", f"{CLIENTS} clients, photographs/s"
IN_PROCESS, PROCESSES = "in this process", f"{WORKERS} processes without a server"
SERVED, BATCHED = "TorchServe, batch size 1", "TorchServe, batch size 8"


@contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Start all servers; yield them with the predictions in this process and in two processes."""
    photographs = noise(8)
    with ExitStack() as stack, use_console(Console(quiet=True)):
        cli.main(["init", str(folder / "project"), "--quiet"])
        project = Project(folder / "project")
        run = untrained(project.runs / "model", Preprocessing())
        systems = {
            IN_PROCESS: in_process(run),
            SERVED: stack.enter_context(torchserve_lightmeter(project, run, batch=1)),
            BATCHED: stack.enter_context(torchserve_lightmeter(project, run, batch=8, name="batched")),
            "TorchServe, minimal handler": stack.enter_context(torchserve_minimal(project.root, run)),
            "LitServe": stack.enter_context(litserve(project, run)),
        }
        for predict in systems.values():
            throughput(predict, photographs, 1.0)
        alone = stack.enter_context(processes(run, photographs))
        yield list(table(systems, alone, photographs))


def table(
    systems: Mapping[str, Predict], alone: Callable[[], float], photographs: Sequence[bytes]
) -> Iterator[Contender]:
    """Yield a contender for each system and one for the processes without a server.

    The first contender measures the latency of all systems, in alternation.
    """
    latencies: dict[str, float] = {}

    def in_this_process() -> dict[str, float]:
        latencies.update(alternate(systems, photographs, SECONDS * len(systems)))
        return {LATENCY: latencies[IN_PROCESS]}

    def served(name: str) -> dict[str, float]:
        return {LATENCY: latencies[name], THROUGHPUT: throughput(systems[name], photographs, SECONDS)}

    yield Contender(IN_PROCESS, in_this_process)
    yield Contender(PROCESSES, lambda: {THROUGHPUT: alone()})
    for name in systems:
        if name != IN_PROCESS:
            yield Contender(name, partial(served, name))


@contextmanager
def processes(run: Path, photographs: Sequence[bytes]) -> Iterator[Callable[[], float]]:
    """Start processes that predict without a server; yield a function that returns their common rate."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(WORKERS, initializer=_load, initargs=(run,)) as pool:

        def measure() -> float:
            counts = pool.map(_predict_for, [(photographs, SECONDS)] * WORKERS, chunksize=1)
            return sum(counts) / SECONDS

        measure()
        yield measure


_local: dict[str, Predict] = {}


def _load(run: Path) -> None:
    _local["predict"] = in_process(run)


def _predict_for(job: tuple[Sequence[bytes], float]) -> float:
    """Return how many photographs were predicted in some seconds; the last one by the share that was in time."""
    photographs, seconds = job
    start, number, before = time.perf_counter(), 0, 0.0
    while (passed := time.perf_counter() - start) < seconds:
        before = passed
        _local["predict"](photographs[number % len(photographs)])
        number += 1
    end = time.perf_counter() - start
    return number - (end - seconds) / (end - before)


def alternate(systems: Mapping[str, Predict], photographs: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Return the median latency of each system in milliseconds, a photograph each in alternation."""
    latencies: dict[str, list[float]] = {name: [] for name in systems}
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for name, predict in systems.items():
            started = time.perf_counter()
            predict(photographs[number % len(photographs)])
            latencies[name].append(time.perf_counter() - started)
        number += 1
    return {name: float(np.median(values)) * 1000 for name, values in latencies.items()}


def throughput(predict: Predict, photographs: Sequence[bytes], seconds: float) -> float:
    """Return the photographs per second that a system answers to clients that wait for each answer.

    Raises:
        RuntimeError: A request failed.
    """
    answered: list[float] = []
    errors: list[Exception] = []
    start = time.perf_counter()

    def client(number: int) -> None:
        try:
            while time.perf_counter() < start + seconds:
                predict(photographs[number % len(photographs)])
                answered.append(time.perf_counter())
                number += CLIENTS
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise RuntimeError(f"{len(errors)} of {CLIENTS} clients had an error: {errors[0]!r}")
    return len(answered) / (max(answered) - start)


BENCHMARK = Benchmark(
    title="Serving",
    text=f"""The same untrained network of the recipe `patches` with {WORKERS} workers, photographs of 1024 × 768
pixels. With one client, requests alternate between the systems; with {CLIENTS}, every client waits for its answer. The
clients run on the same cores. The minimal handler is that of TorchServe's documentation.""",
    contenders=contenders,
    goals=[
        Goal("latency relative to this process", SERVED, {LATENCY: 1.10}, IN_PROCESS, at_most=True),
        Goal("throughput relative to processes without a server", BATCHED, {THROUGHPUT: 0.95}, PROCESSES),
        Goal("throughput relative to the minimal handler", BATCHED, {THROUGHPUT: 2}, "TorchServe, minimal handler"),
    ],
)
