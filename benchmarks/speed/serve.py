"""Measure the speed of serving against predictions without a server.

    make bench ONLY=serving
    make bench ONLY=serving-processes

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
import psutil

from benchmarks.speed.measurement import Benchmark, Contender, Goal, time_limit
from benchmarks.speed.serving_common import ServedModel, noise, serving, untrained
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
from lightmeter.serve.archive import Archive, write_archive
from lightmeter.terminal.console import Console, use_console

SECONDS, RAMP_S = 3.0, 1.0
CLIENTS = 16
ENGINES: tuple[EngineName, ...] = ("torch", "openvino")
LATENCY, THROUGHPUT = "1 client, median ms", f"{CLIENTS} clients, photographs/s"
MINIMAL, LITSERVE = "TorchServe, minimal handler", "torch in LitServe"
REQUESTS, WARM_UP = 60, 150
ALONE, WAITED = "a prediction without a server", "time until the answer"
WORKER, JAVA, GATEWAY, CLIENT = "worker", "Java", "gateway", "client"
PROCESS_ROWS = (WORKER, JAVA, GATEWAY, CLIENT, WAITED, ALONE)


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
    with ExitStack() as stack, use_console(Console(quiet=True)):
        project, run, archives, photographs = make_models(folder)
        start = partial(prepared, stack, photographs)
        systems: dict[str, Predict] = {}
        alone: dict[str, Callable[[], float]] = {}
        for engine in ENGINES:
            systems[in_process_row(engine)] = start(in_process_row(engine), partial(here, run, engine))
            served = partial(torchserve_lightmeter, project, archives[engine], engine)
            systems[served_row(engine)] = start(served_row(engine), served)
            alone[processes_row(engine)] = start(processes_row(engine), partial(processes, run, engine, photographs), 0)
        systems[MINIMAL] = start(MINIMAL, partial(torchserve_minimal, project.root, run))
        systems[LITSERVE] = start(LITSERVE, partial(litserve, project, run))
        yield list(table(systems, alone, photographs))


def make_models(folder: Path) -> tuple[Project, Path, dict[EngineName, Archive], list[bytes]]:
    """Make a project with an untrained run; return it with the archive of each engine, and photographs."""
    photographs = noise(8)
    cli.main(["init", str(folder / "project"), "--quiet"])
    project = Project(folder / "project")
    run, dataset = untrained(project.runs / "model", Preprocessing()), make_dataset(photographs, folder)
    archives = {name: write_archive(run, folder / f"{name}.mar", engine=name, dataset=dataset) for name in ENGINES}
    return project, run, archives, photographs


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
    notes="""The next section says where the time of a request goes. What is not the worker's is the cost of two HTTP
servers in a row, whatever the engine: a quarter of the gateway's is sending the photograph and the answer on, the rest
is spread over HTTP, routes, the token and the log. With one client it adds to the latency; with 16 it takes time of the
cores on which the processes without a server only predict. Saved so far: a line in the log for each metric and step,
most of the client's time, and the optimising compiler of Java, which takes longer than it saves. uvicorn with
httptools instead of h11 gained at most 0.2 ms. TorchServe waits at least 1 ms for a full batch: it takes 0 for its
own default of 100 ms. Less needs a server without Java between gateway and worker.""",
)


@contextmanager
def process_contenders(folder: Path) -> Iterator[list[Contender]]:
    """Serve a model with each engine; yield the processes that take part in a request."""
    with ExitStack() as stack, use_console(Console(quiet=True)):
        project, run, archives, photographs = make_models(folder)
        served = {
            engine: stack.enter_context(serving(project, archive, engine, workers=WORKERS))
            for engine, archive in archives.items()
        }
        alone = {engine: in_process(run, engine) for engine in ENGINES}
        for engine in ENGINES:
            cpu_times(served[engine], photographs, WARM_UP)
        measured: dict[str, dict[str, float]] = {}

        def measure(row: str) -> dict[str, float]:
            if row not in measured:
                for engine in ENGINES:
                    times = cpu_times(served[engine], photographs, REQUESTS)
                    times[ALONE] = cpu_time_alone(alone[engine], photographs)
                    for name, value in times.items():
                        measured.setdefault(name, {})[engine] = value
            return measured.pop(row)

        yield [Contender(row, partial(measure, row)) for row in PROCESS_ROWS]


def cpu_times(served: ServedModel, photographs: Sequence[bytes], requests: int) -> dict[str, float]:
    """Return the CPU time of each process, and the time until the answer, in ms a request of a single client."""
    gateway = psutil.Process(served.state.pid)
    (java,) = (child for child in gateway.children() if child.name() == "java")
    processes = {WORKER: java.children(recursive=True), JAVA: [java], GATEWAY: [gateway], CLIENT: [psutil.Process()]}
    before = {name: _cpu_s(group) for name, group in processes.items()}
    started = time.perf_counter()
    for number in range(requests):
        served.client.predict(photographs[number % len(photographs)])
    waited_s = time.perf_counter() - started
    used_s = {name: _cpu_s(group) - before[name] for name, group in processes.items()}
    return {name: 1000 * seconds / requests for name, seconds in (used_s | {WAITED: waited_s}).items()}


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in processes)))


def cpu_time_alone(predict: Predict, photographs: Sequence[bytes]) -> float:
    """Return the CPU time of a prediction in this process, in ms."""
    started = time.process_time()
    for number in range(REQUESTS):
        predict(photographs[number % len(photographs)])
    return 1000 * (time.process_time() - started) / REQUESTS


PROCESSES = Benchmark(
    title="Serving, process by process",
    text=f"""CPU time of the processes that take part in a request, in ms, with one client and the model of the
section before. {WARM_UP} requests are sent first: Java then has compiled what it uses most. The gateway sends a
request on to TorchServe, which is Java, and this to a worker.""",
    contenders=process_contenders,
)
