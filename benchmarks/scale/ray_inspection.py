"""Inspect 1,000 photographs on a Ray cluster of two nodes, one of which is lost half way, and on this machine.

Usage: python -m benchmarks.scale.ray_inspection [--photographs N] [--keep FOLDER]

The nodes are processes of this machine with one core each. The results must equal those of the pool of two worker
processes, row for row; the rates are compared without a loss. The start of the cluster and of its worker processes is
not counted.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from sqlalchemy import Engine, delete, select

from lightmeter.cli import main as run_command
from lightmeter.executors.base import Executor, Shard
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


def _import_filters(_: int) -> None:
    """Import what inspection needs, in a worker process of Ray."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=1000)
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
        engine = open_engine(project)
        with LocalExecutor(WorkerPool(_CORES, 60, project.logs / "workers.log")) as local:
            seconds, expected = inspect(project, engine, local)
        print(f"pool of {_CORES} processes: {args.photographs / seconds:.1f} photographs/s", flush=True)

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(_CORES)]
        with RayExecutor(cluster.address) as ray:
            list(ray.run(_import_filters, [Shard(str(number), [number]) for number in range(2 * _CORES)]))
            ray_seconds, rows = inspect(project, engine, ray)
            print(
                f"{_CORES} Ray nodes: {args.photographs / ray_seconds:.1f} photographs/s, "
                f"{seconds / ray_seconds:.0%} of the pool; equal rows: {rows == expected} of {len(rows)}",
                flush=True,
            )
            done = 0

            def lose_a_node(number: int) -> None:
                nonlocal done
                before, done = done, done + number
                if before < args.photographs / 2 <= done:
                    cluster.remove_node(nodes[1], allow_graceful=False)
                    print(f"a node was lost after {done} photographs", flush=True)

            lost_seconds, rows = inspect(project, engine, ray, lose_a_node)
            print(f"with the loss: {lost_seconds:.0f} s; equal rows: {rows == expected} of {len(rows)}", flush=True)
        cluster.shutdown()  # type: ignore[no-untyped-call]
        engine.dispose()


if __name__ == "__main__":
    main()
