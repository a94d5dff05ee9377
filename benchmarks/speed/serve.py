"""Measure the speed of serving against predictions without a server.

    make bench ONLY=serving

All systems use the same network, two workers and the same photographs. The minimal handler is that of TorchServe's
documentation ("Custom handlers"): a `BaseHandler` with Pillow in ``preprocess``, a TorchScript file, default settings,
no tokens. With a single client, requests alternate between the systems, so that other load on the machine affects all.
"""

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.speed.measurement import Benchmark, Contender, Goal, time_limit
from benchmarks.speed.serving_common import noise, untrained
from benchmarks.speed.serving_systems import (
    WORKERS,
    Predict,
    in_process,
    litserve,
    torchserve_lightmeter,
    torchserve_minimal,
)
from benchmarks.speed.train import make_dataset
from lightmeter import cli
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project
from lightmeter.serve.archive import write_archive
from lightmeter.terminal.console import Console, use_console

SECONDS, RAMP_S = 3.0, 1.0
CLIENTS = 16
ENGINES: tuple[EngineName, ...] = ("torch", "openvino")
LATENCY, THROUGHPUT = "1 client, median ms", f"{CLIENTS} clients, photographs/s"
MINIMAL, LITSERVE = "TorchServe, minimal handler", "torch in LitServe"


def in_process_row(engine: EngineName) -> str:
    return f"{engine} in this process"


def processes_row(engine: EngineName) -> str:
    return f"{engine} in {WORKERS} processes"


def served_row(engine: EngineName) -> str:
    return f"{engine} in TorchServe"


@contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Start all servers; yield them with the predictions in this process and in two processes.

    What cannot be started in time is a row with an error.
    """
    photographs = noise(8)
    with ExitStack() as stack, use_console(Console(quiet=True)):
        cli.main(["init", str(folder / "project"), "--quiet"])
        project = Project(folder / "project")
        run, dataset = untrained(project.runs / "model", Preprocessing()), make_dataset(photographs, folder)
        start = partial(prepared, stack, photographs)
        systems: dict[str, Predict] = {}
        alone: dict[str, Callable[[], float]] = {}
        for engine in ENGINES:
            systems[in_process_row(engine)] = start(in_process_row(engine), partial(here, run, engine))
            archive = write_archive(run, folder / f"{engine}.mar", engine=engine, dataset=dataset)
            served = partial(torchserve_lightmeter, project, archive, engine)
            systems[served_row(engine)] = start(served_row(engine), served)
            alone[processes_row(engine)] = start(processes_row(engine), partial(processes, run, engine, photographs), 0)
        systems[MINIMAL] = start(MINIMAL, partial(torchserve_minimal, project.root, run))
        systems[LITSERVE] = start(LITSERVE, partial(litserve, project, run))
        yield list(table(systems, alone, photographs))


@contextmanager
def here(run: Path, engine: EngineName) -> Iterator[Predict]:
    """Predict in this process."""
    yield in_process(run, engine)


def prepared(
    stack: ExitStack,
    photographs: Sequence[bytes],
    name: str,
    system: Callable[[], AbstractContextManager[Any]],
    warm_up_s: float = 0.5,
) -> Any:
    """Start a system and warm it up; if that fails, return a function that raises the error."""
    try:
        with time_limit(f"Starting {name}"):
            function = stack.enter_context(system())
            if warm_up_s:
                throughput(function, photographs, warm_up_s, clients=WORKERS, ramp_s=0)
    except Exception as error:  # noqa: BLE001 - shown in the row of the system
        traceback.print_exc()
        return partial(fail, f"{type(error).__name__}: {error}")
    return function


def fail(reason: str, *_: object) -> NoReturn:
    """Raise the error of a system that was not started.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(reason)


def table(
    systems: Mapping[str, Predict], alone: Mapping[str, Callable[[], float]], photographs: Sequence[bytes]
) -> Iterator[Contender]:
    """Yield a contender for each system and for the processes without a server.

    The first contender of a round measures the latency of all systems, in alternation.
    """
    latencies: dict[str, float] = {}
    running = {name: predict for name, predict in systems.items() if getattr(predict, "func", None) is not fail}

    def measure(name: str) -> dict[str, float]:
        if name not in running:
            systems[name](b"")
        if name not in latencies:
            latencies.update(alternate(running, photographs, SECONDS * len(running) / 2))
        served = {} if name.endswith("this process") else {THROUGHPUT: throughput(systems[name], photographs, SECONDS)}
        return {LATENCY: latencies.pop(name), **served}

    for name in systems:
        yield Contender(name, partial(measure, name))
    for name, rate in alone.items():
        yield Contender(name, partial(lambda rate: {THROUGHPUT: rate()}, rate))


@contextmanager
def processes(run: Path, engine: EngineName, photographs: Sequence[bytes]) -> Iterator[Callable[[], float]]:
    """Start processes that predict without a server; yield a function that returns their common rate."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(WORKERS, initializer=_load, initargs=(run, engine)) as pool:

        def measure() -> float:
            counts = pool.map(_predict_for, [(photographs, SECONDS)] * WORKERS, chunksize=1)
            return sum(counts) / SECONDS

        measure()
        yield measure


_local: dict[str, Predict] = {}


def _load(run: Path, engine: EngineName) -> None:
    _local["predict"] = in_process(run, engine)


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


def throughput(
    predict: Predict, photographs: Sequence[bytes], seconds: float, clients: int = CLIENTS, ramp_s: float = RAMP_S
) -> float:
    """Return the photographs per second that a system answers to clients that wait for each answer.

    All clients wait at the start and at the end of the time that counts: the first requests, which arrive together,
    and the last ones, for which no others follow, are not counted.

    Raises:
        RuntimeError: A request failed.
    """
    answered: list[float] = []
    errors: list[Exception] = []
    start = time.perf_counter() + ramp_s
    end = start + seconds

    def client(number: int) -> None:
        try:
            while time.perf_counter() < end:
                predict(photographs[number % len(photographs)])
                answered.append(time.perf_counter())
                number += clients
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise RuntimeError(f"{len(errors)} of {clients} clients had an error: {errors[0]!r}")
    return sum(start <= moment <= end for moment in answered) / seconds


BENCHMARK = Benchmark(
    title="Serving",
    text=f"""The same untrained network of the recipe `patches`, {WORKERS} workers or processes of one thread each,
photographs of 1024 × 768 pixels. With one client, requests alternate between the systems; with {CLIENTS}, every client
waits for its answer. The clients run on the same cores. The minimal handler is that of TorchServe's documentation.""",
    contenders=contenders,
    goals=[
        *(
            Goal(
                f"latency of {served_row(engine)}, relative to {in_process_row(engine)}",
                served_row(engine),
                {LATENCY: 1.10},
                in_process_row(engine),
                at_most=True,
            )
            for engine in ENGINES
        ),
        *(
            Goal(
                f"throughput of {served_row(engine)}, relative to {processes_row(engine)}",
                served_row(engine),
                {THROUGHPUT: 0.95},
                processes_row(engine),
            )
            for engine in ENGINES
        ),
        Goal("throughput relative to the minimal handler", served_row("torch"), {THROUGHPUT: 2}, MINIMAL),
    ],
    notes="""Where the time of a request goes, as CPU time of each process (one client, OpenVINO, photographs of 250 kB;
measured while the machine did other work, which makes its caches colder):

| process | CPU ms a request |
| --- | --- |
| worker; of it the handler with messages and metrics 0.7 | 32 |
| Java, in the first hundred requests, before its code is compiled | 5 to 6.5 |
| Java afterwards: network 1.4 (half of it copies of the photograph), worker thread and metrics 1.1, other 0.1 | 2.6 |
| gateway: HTTP of both sides, routes, token and log 0.9, copies of the photograph 0.4, cold caches | 1.3 to 2.5 |
| client | 0.3 to 0.5 |

The worker takes as long as a prediction in the same process, 31 ms. All else, 4 ms when warm, is the cost of two
HTTP servers in a row, whatever the engine: a twentieth of a prediction with torch, an eighth of one with OpenVINO. With
one client it adds to the latency; with 16 it takes time of the cores on which the processes without a server only
predict, so that at most 31 / 35 = 0.89 of their rate remains on two cores. Saved so far: a line in the log for each
metric and step (0.3 ms), and most of the client's time (0.9 ms). uvicorn with httptools instead of h11 gained at most
0.2 ms. TorchServe waits at least 1 ms for a full batch: it takes 0 for its own default of 100 ms. Both goals for
OpenVINO need a server without Java between gateway and worker.""",
)
