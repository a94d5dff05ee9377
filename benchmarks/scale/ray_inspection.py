"""Inspect 1,000 photographs on a Ray cluster of two nodes, one of which is lost half way, and on this machine.

Usage: python -m benchmarks.scale.ray_inspection [--photographs N] [--rounds N] [--keep FOLDER]

The nodes are processes of this machine with one core each. The results must equal those of the pool of two worker
processes, row for row. All photographs are inspected twice with each: the first time includes the start of worker
processes and their imports (the cluster runs already), the second time nothing starts. Pool and cluster take turns for
some rounds, and the medians of their rates are compared. Processor time is that of this process, of the workers, and of
the other processes of the cluster.
"""

import argparse
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from PIL import Image as PillowImage
from sqlalchemy import Engine, delete, select

from lightmeter.cli import main as run_command
from lightmeter.executors.base import Executor
from lightmeter.executors.local import LocalExecutor
from lightmeter.executors.ray import RayExecutor
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Inspection, Region
from lightmeter.harvest.filters.pipeline import InspectionPlan
from lightmeter.harvest.filters.rescan import rescan
from lightmeter.harvest.workers.pool import WorkerPool
from lightmeter.project import Project

_CORES = 2
_SIDE = 1024
_WORKERS = re.compile(r"ray::IDLE|ray::_run_items|.* from multiprocessing\.")


def write_photographs(folder: Path, count: int) -> None:
    """Write smooth pictures with noise, of the size that services send."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = PillowImage.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
        smooth = np.asarray(coarse.resize((_SIDE, _SIDE * 3 // 4), PillowImage.Resampling.BICUBIC), np.int16)
        noisy = (smooth + rng.integers(-12, 12, smooth.shape, np.int16)).clip(0, 255).astype(np.uint8)
        PillowImage.fromarray(noisy).save(folder / f"{number}.jpg", quality=85)


def inspect(
    project: Project, engine: Engine, executor: Executor, on_progress: Callable[[int], object] = lambda _: None
) -> tuple[float, list[Any]]:
    """Inspect all photographs anew; return the seconds and all rows."""
    with engine.begin() as connection:
        for table in (Inspection, Region):
            connection.execute(delete(table))
    plan = InspectionPlan.from_settings(project.settings)
    started = time.perf_counter()
    result = rescan(engine, project.store, plan, executor, on_progress=on_progress)
    seconds = time.perf_counter() - started
    if result.failed:
        raise SystemExit(f"failed: {dict(result.failed)}")
    columns = [column for table in (Inspection, Region) for column in table.__table__.columns if column.name != "id"]
    with engine.connect() as connection:
        rows = [
            tuple(map(repr, row))
            for table in (Inspection, Region)
            for row in connection.execute(select(*(column for column in columns if column.table is table.__table__)))
        ]
    return seconds, sorted(rows)


def measure(
    name: str, project: Project, engine: Engine, photographs: int, open_executor: Callable[[], Executor]
) -> tuple[float, float, list[Any]]:
    """Inspect all photographs twice; print and return both rates, and return the rows."""
    rates = []
    began, cpu = time.perf_counter(), cpu_seconds()
    with open_executor() as executor:
        for part in ("with the start of workers", "steady"):
            _, rows = inspect(project, engine, executor)
            seconds, used = time.perf_counter() - began, cpu_seconds()
            rates.append(photographs / seconds)
            per_photograph = {kind: 1000 * (used[kind] - cpu.get(kind, 0.0)) / photographs for kind in used}
            split = ", ".join(f"{kind} {value:.1f}" for kind, value in per_photograph.items())
            print(
                f"{name}, {part}: {rates[-1]:.1f} photographs/s; {sum(per_photograph.values()):.1f} ms of processor "
                f"time each ({split})",
                flush=True,
            )
            began, cpu = time.perf_counter(), cpu_seconds()
    return rates[0], rates[1], rows


def cpu_seconds() -> dict[str, float]:
    """Return the processor time of this process, of worker processes and of the other processes of a cluster."""
    seconds = {"this process": 0.0, "workers": 0.0}
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error, IndexError):
            command, times = process.cmdline(), process.cpu_times()
            is_worker = _WORKERS.match(" ".join(command))
            kind = "this process" if process == this else "workers" if is_worker else "Ray"
            seconds[kind] = seconds.get(kind, 0.0) + times.user + times.system
    return seconds


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    parser.add_argument("--keep", type=Path, help="folder for the project, which is used again")
    args = parser.parse_args()
    from ray.cluster_utils import Cluster

    with TemporaryDirectory() as temporary:
        home = args.keep or Path(temporary)
        project = Project((home / "project").resolve())
        if not project.root.exists():
            write_photographs(home / "photographs", args.photographs)
            run_command(["init", str(project.root)])
            run_command(["--project", str(project.root), "harvest", "run", "folder", str(home / "photographs")])
        engine, number = open_engine(project), args.photographs
        log = project.logs / "workers.log"
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(_CORES)]
        executors: dict[str, Callable[[], Executor]] = {
            f"pool of {_CORES} processes": lambda: LocalExecutor(WorkerPool(_CORES, 60, log)),
            f"{_CORES} Ray nodes": lambda: RayExecutor(cluster.address),
        }
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in executors}
        results = []
        for _ in range(args.rounds):
            for name, open_executor in executors.items():
                *measured, rows = measure(name, project, engine, number, open_executor)
                rates[name].append((measured[0], measured[1]))
                results.append(rows)
        pool, ray = (np.median(values, axis=0) for values in rates.values())
        for name, (with_start, steady) in zip(executors, (pool, ray), strict=True):
            print(f"{name}, medians: {with_start:.1f} photographs/s with the start of workers, {steady:.1f} steady")
        print(
            f"Ray: {ray[0] / pool[0]:.0%} of the pool's rate with the start of workers, {ray[1] / pool[1]:.0%} steady; "
            f"equal rows: {all(rows == results[0] for rows in results)} of {len(results[0])}",
            flush=True,
        )
        done = 0

        def lose_a_node(number: int) -> None:
            nonlocal done
            before, done = done, done + number
            if before < args.photographs / 2 <= done:
                cluster.remove_node(nodes[1], allow_graceful=False)
                print(f"a node was lost after {done} photographs", flush=True)

        with RayExecutor(cluster.address) as executor:
            lost_seconds, rows = inspect(project, engine, executor, lose_a_node)
        print(f"with the loss: {lost_seconds:.0f} s; equal rows: {rows == results[0]} of {len(rows)}", flush=True)
        cluster.shutdown()  # type: ignore[no-untyped-call]
        engine.dispose()


if __name__ == "__main__":
    main()
