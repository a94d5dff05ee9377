"""Processes that are killed while they harvest into one project: nothing may be lost, and nothing stored twice.

    python -m benchmarks.killed_processes [--processes 8] [--kills 60] [--photographs 2000] [--url URL]

Several processes harvest one folder into one project at once, with ``--refresh``, so that all have work. Each second
the oldest one that works on a run is killed and another one is started. At the end a killed run is resumed and the
folder harvested once more; then project and photographs are compared. ``--url`` takes an empty PostgreSQL database,
such as ``postgresql+psycopg://user@/name?host=/tmp``.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select

from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.database.session import engine_for, open_engine
from lightmeter.harvest.catalogue.leases.runs import active_runs
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, SightingRecord, SightingState
from lightmeter.project import Project
from lightmeter.testing import photograph
from tests.support import BackgroundCommand, CommandRunner

_MARK = "KILLED_PROCESSES"  # variable by which the processes are recognised
SETTINGS = {"LIGHTMETER_INSPECT__WORKERS": "1", "LIGHTMETER_INSPECT__LATER": '["faces"]'}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--photographs", type=int, default=2000)
    parser.add_argument("--url", default="")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_photographs(home / "photographs", options.photographs)
        commands = CommandRunner()
        report = kill_processes(home, options.processes, options.kills, commands, options.url)
        commands.close()
    print(json.dumps(report, indent=2))
    return 0 if not report["faults"] else 1


def write_photographs(folder: Path, number: int) -> None:
    """Write photographs to a folder, in subfolders of a hundred."""
    for index in range(number):
        file = folder / str(index // 100) / f"{index}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photograph(index))


def kill_processes(
    home: Path, processes: int, kills: int, commands: CommandRunner, url: str = "", every_s: float = 1.0
) -> dict[str, Any]:
    """Harvest ``home/photographs`` with processes that are killed; return counts and faults.

    Args:
        home: Folder; the project is made in it.
        processes: Number of processes at any time.
        kills: Number of processes that are killed.
        commands: Starts the processes.
        url: Catalogue URL; empty for SQLite.
        every_s: Seconds between two kills, at least.
    """
    project = Project(home / "project")
    environment = SETTINGS | {_MARK: str(project.root)} | ({"LIGHTMETER_CATALOGUE__URL": url} if url else {})
    log = home / "command.log"
    ends: Counter[str] = Counter()

    def start(*args: object) -> BackgroundCommand:
        return commands.start("--project", project.root, *args, env=environment, error=log)

    def harvest() -> BackgroundCommand:
        return start("harvest", "run", "folder", home / "photographs", "--refresh", "--quiet")

    start("init", project.root).wait()
    running = [harvest() for _ in range(processes)]
    while ends["killed"] < kills:
        time.sleep(every_s)
        victim = _oldest_harvesting(running, project, url)
        if victim is None:
            continue
        running.remove(victim)
        victim.send_signal(signal.SIGKILL)
        ends[_end(victim)] += 1
        running.append(harvest())
    for process in running:
        ends[_end(process)] += 1
    resumed = _end(start("harvest", "resume", "--quiet"))
    ends[_end(harvest())] += 1
    faults = [] if resumed == "finished" or not kills else [resumed]
    faults += [end for end in ends if end not in ("finished", "killed")]
    faults += find_faults(project, home / "photographs", url)
    return {"ends": dict(ends), "faults": faults}


def find_faults(project: Project, photographs: Path, url: str = "") -> list[str]:
    """Compare a project with the photographs that it should hold; return what is wrong."""
    files = [path for path in photographs.rglob("*") if path.is_file()]
    stored = [path for path in (project.root / "store").glob("[0-9a-f][0-9a-f]/*") if path.is_file()]
    engine = engine_for(url) if url else open_engine(project)
    with engine.connect() as connection:
        states = dict(
            connection.execute(select(SightingRecord.state, func.count()).group_by(SightingRecord.state)).all()
        )
        ids = connection.scalars(select(SightingRecord.source_id)).all()
        hashes = set(connection.scalars(select(Image.sha256)))
        images = connection.scalar(select(func.count()).select_from(Image))
        exif = connection.scalar(select(func.count()).where(Exif.image_id.is_not(None)))
        inspections = connection.execute(select(Inspection.filter, func.count()).group_by(Inspection.filter)).all()
    engine.dispose()
    incoming = [path for path in (project.root / "store" / ".incoming").rglob("*") if path.is_file()]
    orphans = _processes_of(project)
    checks = {
        f"sightings by state: {states}": states == {SightingState.FETCHED: len(files)},
        "sightings twice": sorted(ids) == sorted(str(path) for path in files),
        "images differ from the files": hashes == {sha256_of(path) for path in files},
        f"{images} images, {exif} rows of EXIF": images == len(hashes) == exif,
        f"inspections: {inspections}": all(number == images for _, number in inspections),
        "files of the store are damaged": all(sha256_of(path) == path.name for path in stored),
        f"{len(stored)} files in the store": {path.name for path in stored} == hashes,
        f"partial files: {incoming}": not incoming,
        f"processes are left: {orphans}": not orphans,
    }
    return [fault for fault, holds in checks.items() if not holds]


def _oldest_harvesting(running: list[BackgroundCommand], project: Project, url: str) -> BackgroundCommand | None:
    """Return the oldest process that works on a run; None if none does. One that has ended is replaced."""
    engine = engine_for(url) if url else open_engine(project)
    with engine.connect() as connection:
        owners = {process.split("~")[1] for process in active_runs(connection).values()}
    engine.dispose()
    ended = (process for process in running if process.poll() is not None)
    return next((process for process in running if str(process.pid) in owners), next(ended, None))


def _processes_of(project: Project) -> list[int]:
    """Return the processes that were started for a project, a second after their parents have ended."""
    time.sleep(1)
    processes = psutil.process_iter(["pid", "environ"])
    marked = [
        process.info["pid"] for process in processes if (process.info["environ"] or {}).get(_MARK) == str(project.root)
    ]
    return [pid for pid in marked if pid != os.getpid()]


def _end(process: BackgroundCommand) -> str:
    """Wait for a process and return how it ended."""
    code, error = process.wait()
    return {0: "finished", -signal.SIGKILL: "killed"}.get(code, error.strip() or str(code))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
