"""How `labels apply` and `labels split` grow with the catalogue, beside the same work done with pandas from a CSV.

    python benchmarks/datasets_at_scale.py --sizes 10000,100000,1000000 [--url postgresql+psycopg://…/empty_data_base]

The catalogue is made up: photographers with Zipf's frequencies, camera bodies, near-identical pairs, exposure times in
third stops. Without --url each size gets a fresh SQLite file; a given data base must be empty, and is left so.
Every step runs in a process of its own, so that its peak memory is its own.
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

from lightmeter import cli
from lightmeter.harvest.catalogue.models import Base, Exif, HarvestRun, Image, Inspection, Sighting
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.project import Project

BATCH = 20_000
CAMERAS = [("Canon", "EOS R6"), ("NIKON CORPORATION", "NIKON Z 8"), ("SONY", "ILCE-7M4"), ("FUJIFILM", "X-T5")]
COLUMNS = ("sha256", "owner", "body", "make", "model", "exposure_time_s", "phash")


def made_up(count: int, seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of photographs."""
    random = np.random.default_rng(seed)
    people = max(10, count // 30)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        owners = np.minimum(random.zipf(1.3, size), people) + random.integers(people, size=size) % (people // 2)
        thirds = random.integers(-36, 9, size)
        cameras = random.integers(len(CAMERAS), size=size)
        hashes = random.integers(2**63, size=size, dtype=np.uint64)
        twins = random.random(size) < 0.01
        hashes[1:][twins[1:]] = hashes[:-1][twins[1:]] ^ 1
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


def fill(project: Project, count: int) -> None:
    engine = open_engine(project)
    with engine.begin() as connection:
        connection.execute(insert(HarvestRun).values(id=1, source="made up", query={}, options={}))
        for batch in made_up(count):
            image = {"format": "JPEG", "width": 640, "height": 480, "file_size": 100_000}
            connection.execute(insert(Image), [{**image, **{k: p[k] for k in ("id", "sha256", "body")}} for p in batch])
            seen = {"run_id": 1, "source": "made up", "state": "fetched", "licence": "CC0-1.0"}
            connection.execute(
                insert(Sighting),
                [{**seen, "source_id": str(p["id"]), "image_id": p["id"], "owner": p["owner"]} for p in batch],
            )
            exif = ("make", "model", "exposure_time_s")
            connection.execute(
                insert(Exif),
                [{"image_id": p["id"], "origin": "file", "raw": {}, **{k: p[k] for k in exif}} for p in batch],
            )
            found = {"filter": "duplicates", "version": 1, "verdict": "keep"}
            connection.execute(
                insert(Inspection), [{"image_id": p["id"], **found, "measures": {"phash": p["phash"]}} for p in batch]
            )
    engine.dispose()


def empty(project: Project) -> None:
    """Take all tables out of the data base, for the next size."""
    engine = open_engine(project)
    Base.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()


def write_csv(file: Path, count: int) -> None:
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for batch in made_up(count):
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
    from lightmeter.labels.datasets.split import SplitOptions
    from lightmeter.labels.targets.registry import get_target

    engine = open_engine(project)
    with engine.connect() as connection:
        gathered = collect(connection, [get_target("shutter")])
    freeze(engine, project, project.datasets / "one", gathered, SplitOptions())
    engine.dispose()


def step_pandas(project: Project) -> None:
    """Label by nearest stop and split by photographer alone, as a notebook would."""
    import pandas as pd
    from sklearn.model_selection import StratifiedGroupKFold

    frame = pd.read_csv(project.root / "photographs.csv")
    frame["stops"] = np.log2(frame["exposure_time_s"]).round().astype(int)
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=0).split(frame, frame["stops"], frame["owner"])
    number = np.zeros(len(frame), dtype=int)
    for fold, (_, members) in enumerate(folds):
        number[members] = fold
    frame["split"] = np.select([number == 0, number == 1], ["test", "validation"], "train")
    frame.to_parquet(project.root / "pandas.parquet")


STEPS = {"apply": step_apply, "apply again": step_apply, "split": step_split, "pandas": step_pandas}


def measure(step: str, project: Project) -> dict[str, float]:
    """Run a step in a process of its own; return its seconds and its peak memory in MB."""
    command = [sys.executable, __file__, "--step", step, "--project", str(project.root)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def run_step(step: str, root: Path) -> None:
    start = time.perf_counter()
    STEPS[step](Project(root))
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "s": seconds,
                "cpu_s": time.process_time(),
                "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--url", help="an empty PostgreSQL data base; else SQLite")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        run_step(asked.step, asked.project)
        return
    if asked.url:
        os.environ["LIGHTMETER_CATALOGUE__URL"] = asked.url
    times: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for count in [int(size) for size in asked.sizes.split(",")]:
        with tempfile.TemporaryDirectory() as folder:
            cli.main(["init", str(Path(folder)), "--quiet"])
            project = Project(Path(folder))
            start = time.perf_counter()
            fill(project, count)
            write_csv(project.root / "photographs.csv", count)
            print(f"{count:>9,} photographs made up in {time.perf_counter() - start:.0f} s", flush=True)
            for step in STEPS:
                found = measure(step, project)
                times.setdefault(step, []).append((count, found))
                print(
                    f"{step:>12} {found['s']:8.2f} s ({found['cpu_s']:.2f} s of one core), {found['MB']:6.0f} MB",
                    flush=True,
                )
            if asked.url:
                empty(project)
    for step, found_times in times.items():
        if len(found_times) > 1:
            (few, short), (many, long) = found_times[0], found_times[-1]
            wall, cpu = (math.log(long[key] / short[key]) / math.log(many / few) for key in ("s", "cpu_s"))
            print(f"{step:>12} grows with exponent {wall:.2f} (one core's seconds: {cpu:.2f})")


if __name__ == "__main__":
    main()
