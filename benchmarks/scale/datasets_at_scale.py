"""Measure time and memory of `labels apply` and `labels split` by catalogue size, compared with pandas on a CSV file.

    python -m benchmarks.scale.datasets_at_scale --sizes 10000,100000,1000000 [--url postgresql+psycopg://…/empty_database]

The catalogue is synthetic: photographers with Zipf frequencies, camera bodies, near-duplicate pairs, exposure times in
third stops. Without --url each size uses a new SQLite file. The database of --url must be empty and is emptied after
each size. Each step runs in a separate process, so that its peak memory can be measured.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from lightmeter.cli import main as lightmeter
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, Inspection, SightingRecord
from lightmeter.project import Project

BATCH = 20_000
CAMERAS = [("Canon", "EOS R6"), ("NIKON CORPORATION", "NIKON Z 8"), ("SONY", "ILCE-7M4"), ("FUJIFILM", "X-T5")]
CSV_COLUMNS = ("sha256", "owner", "body", "make", "model", "exposure_time_s", "phash")


def synthetic_photographs(count: int, seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of photographs."""
    random = np.random.default_rng(seed)
    n_people = max(10, count // 30)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        offsets = random.integers(n_people, size=size) % (n_people // 2)
        owners = np.minimum(random.zipf(1.3, size), n_people) + offsets
        thirds = random.integers(-36, 9, size)
        cameras = random.integers(len(CAMERAS), size=size)
        hashes = random.integers(2**63, size=size, dtype=np.uint64)
        is_duplicate = random.random(size) < 0.01
        hashes[1:][is_duplicate[1:]] = hashes[:-1][is_duplicate[1:]] ^ 1
        yield [
            {
                "id": start + index + 1,
                "sha256": hashlib.sha256(f"{seed} {start + index}".encode()).hexdigest(),
                "owner": f"person {owners[index]}",
                "body": f"{owners[index]}-{cameras[index]}" if index % 5 < 3 else None,
                "make": CAMERAS[cameras[index]][0],
                "model": CAMERAS[cameras[index]][1],
                "exposure_time_s": float(2.0 ** (thirds[index] / 3)),
                "phash": f"{hashes[index]:016x}",
            }
            for index in range(size)
        ]


def fill_catalogue(project: Project, count: int) -> None:
    """Write synthetic photographs to the catalogue."""
    image_values = {"format": "JPEG", "width": 640, "height": 480, "file_size": 100_000}
    sighting_values = {"run_id": 1, "source": "synthetic", "state": "fetched", "licence": "CC0-1.0"}
    inspection_values = {"filter": "duplicates", "version": 1, "verdict": "keep"}
    engine = open_engine(project)
    with engine.begin() as connection:
        connection.execute(insert(HarvestRun).values(id=1, source="synthetic", query={}, options={}))
        for batch in synthetic_photographs(count):
            images, sightings, exif, inspections = [], [], [], []
            for photo in batch:
                image_id = {"image_id": photo["id"]}
                images.append({**image_values, **{name: photo[name] for name in ("id", "sha256", "body")}})
                sightings.append(
                    {**sighting_values, **image_id, "source_id": str(photo["id"]), "owner": photo["owner"]}
                )
                values = {name: photo[name] for name in ("make", "model", "exposure_time_s")}
                exif.append({**image_id, **values, "origin": "file", "raw": {}})
                inspections.append({**image_id, **inspection_values, "measures": {"phash": photo["phash"]}})
            connection.execute(insert(Image), images)
            connection.execute(insert(SightingRecord), sightings)
            connection.execute(insert(Exif), exif)
            connection.execute(insert(Inspection), inspections)
    engine.dispose()


def drop_tables(project: Project) -> None:
    """Empty the database for the next size."""
    engine = open_engine(project)
    Base.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()


def write_csv(file: Path, count: int) -> None:
    """Write the same photographs to a CSV file for pandas."""
    with file.open("w", newline="") as output:
        writer = csv.DictWriter(output, CSV_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for batch in synthetic_photographs(count):
            writer.writerows(batch)


def step_apply(project: Project) -> None:
    from lightmeter.labels.annotations.rules import apply
    from lightmeter.labels.targets.registry import get_target

    engine = open_engine(project)
    apply(engine, [get_target("shutter")])
    engine.dispose()


def step_split(project: Project) -> None:
    from lightmeter.labels.datasets.collect import collect
    from lightmeter.labels.datasets.freeze import freeze
    from lightmeter.labels.datasets.splits.split import SplitOptions
    from lightmeter.labels.targets.registry import get_target

    engine = open_engine(project)
    with engine.connect() as connection:
        photographs = collect(connection, [get_target("shutter")])
    freeze(engine, project, project.datasets / "benchmark", photographs, SplitOptions())
    engine.dispose()


def step_pandas(project: Project) -> None:
    """Label by nearest stop and split by photographer alone, as in a notebook."""
    import pandas as pd
    from sklearn.model_selection import StratifiedGroupKFold

    frame = pd.read_csv(project.root / "photographs.csv")
    frame["stops"] = np.log2(frame["exposure_time_s"]).round().astype(int)
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=0)
    folds = np.zeros(len(frame), dtype=int)
    for fold, (_, rows) in enumerate(splitter.split(frame, frame["stops"], frame["owner"])):
        folds[rows] = fold
    frame["split"] = np.select([folds == 0, folds == 1], ["test", "validation"], "train")
    frame.to_parquet(project.root / "pandas.parquet")


STEPS = {"apply": step_apply, "apply again": step_apply, "split": step_split, "pandas": step_pandas}


def measure(step: str, project: Project) -> dict[str, float]:
    """Run a step in a separate process and return wall-clock and CPU seconds, and peak memory in MB."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale.datasets_at_scale",
        "--step",
        step,
        "--project",
        str(project.root),
    ]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(process.stdout.splitlines()[-1]))


def run_step(step: str, root: Path) -> None:
    """Run a step in this process and print its measurements as JSON."""
    start = time.perf_counter()
    STEPS[step](Project(root))
    wall_s, memory_kb = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"wall_s": wall_s, "cpu_s": time.process_time(), "memory_mb": memory_kb / 1024}))


def print_exponents(step: str, results: list[tuple[int, dict[str, float]]]) -> None:
    """Print the exponent with which time grows with the number of photographs."""
    (low_count, low), (high_count, high) = results[0], results[-1]
    growth = math.log(high_count / low_count)
    wall, cpu = (math.log(high[key] / low[key]) / growth for key in ("wall_s", "cpu_s"))
    print(f"{step:>12} grows with exponent {wall:.2f} (CPU time: {cpu:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", default="10000,100000", help="numbers of photographs, separated by commas (default: 10000,100000)"
    )
    parser.add_argument("--url", help="URL of an empty PostgreSQL database (default: SQLite)")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        run_step(args.step, args.project)
        return
    if args.url:
        os.environ["LIGHTMETER_CATALOGUE__URL"] = args.url
    results: dict[str, list[tuple[int, dict[str, float]]]] = {step: [] for step in STEPS}
    for count in map(int, args.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            lightmeter(["init", folder, "--quiet"])
            project = Project(Path(folder))
            start = time.perf_counter()
            fill_catalogue(project, count)
            write_csv(project.root / "photographs.csv", count)
            print(f"{count:>9,} photographs written in {time.perf_counter() - start:.0f} s", flush=True)
            for step in STEPS:
                result = measure(step, project)
                results[step].append((count, result))
                seconds, memory = f"{result['wall_s']:8.2f} s (CPU {result['cpu_s']:.2f} s)", result["memory_mb"]
                print(f"{step:>12} {seconds}, {memory:6.0f} MB", flush=True)
            if args.url:
                drop_tables(project)
    for step, step_results in results.items():
        if len(step_results) > 1:
            print_exponents(step, step_results)


if __name__ == "__main__":
    main()
