"""Measure the answers of ``lightmeter browse`` on a made-up catalogue: pages, facets, queries, and bulk labels.

    python -m benchmarks.scale.browser [--photographs 100000] [--folder DIR]

With --folder the catalogue is kept there and used again; LIGHTMETER_CATALOGUE__URL selects another database. Times are
those of the requests of the page over loopback: the first one and the median in wall-clock time, and the median in
processor time of the page's process; the goal is 200 ms each. On PostgreSQL the time of a label of all photographs in
the server is printed first, and how much of it goes into checks of the foreign key.
"""

import argparse
import hashlib
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from sqlalchemy import Engine, insert, text

from lightmeter.cli import main as lightmeter
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Label, SightingRecord
from lightmeter.labels.browser.boxes import crops_by_kind
from lightmeter.labels.browser.library import Library
from lightmeter.labels.browser.server import BrowserServer
from lightmeter.labels.browser.session import Session
from lightmeter.labels.targets.registry import list_targets
from lightmeter.project import Project

GOAL_MS = 200.0
REPEATS = 5
CAMERAS = [("Canon", f"EOS {n}") for n in range(40)] + [("NIKON CORPORATION", f"NIKON Z {n}") for n in range(30)]
F_NUMBERS = (1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0)
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", None)
QUERIES = (
    "iso:100-400", "f:2.8-4 iso:100-400 camera:canon", "year:2010-2014 -licence:CC0", "tag:'tag 7' mm:35",
    "label.medium:film -monochrome:drop", "owner:'person 7' title:street", "share:2/3+10",
    "not (width < 500 or software:x)", "author.medium:ann", "conflict.medium",
)  # fmt: skip
FILTERS = ("borders", "duplicates", "faces", "monochrome", "quality")


def fill(project: Project, count: int) -> None:
    """Write made-up photographs with EXIF, sightings, verdicts and labels by rule."""
    random = np.random.default_rng(0)
    engine = open_engine(project)
    ids = range(1, count + 1)
    cameras, people = random.integers(len(CAMERAS), size=count), random.zipf(1.4, count) % 3000
    settings = zip(
        random.integers(len(F_NUMBERS), size=count).tolist(),
        (2.0 ** random.integers(-13, 3, count)).tolist(),
        (100 * 2.0 ** random.integers(0, 8, count)).tolist(),
        random.choice([14, 24, 35, 50, 85, 135, 200], count).tolist(),
        strict=True,
    )
    rows: dict[Any, list[dict[str, Any]]] = {
        Image: [
            {"id": n, "sha256": hashlib.sha256(str(n).encode()).hexdigest(), "format": "JPEG", "width": 640,
             "height": 480, "file_size": 100_000} for n in ids
        ],
        SightingRecord: [
            {"run_id": 1, "source": "made-up", "source_id": str(n), "state": "fetched", "image_id": n,
             "file": f"{n}.jpg", "owner": f"person {people[n - 1]}", "licence": LICENCES[n % 4],
             "title": f"Street {n % 977}", "tags": ["street", f"tag {n % 50}"]} for n in ids
        ],
        Exif: [
            {"image_id": n, "origin": "file", "make": CAMERAS[camera][0], "model": CAMERAS[camera][1],
             "lens": f"{mm} mm lens", "f_number": F_NUMBERS[f], "exposure_time_s": time_s, "iso": iso,
             "focal_length_mm": float(mm), "taken_at": f"{2004 + n % 20}-05-01T12:00:00"}
            for n, camera, (f, time_s, iso, mm) in zip(ids, cameras.tolist(), settings, strict=True)
        ],
        Inspection: [
            {"image_id": n, "filter": name, "version": 1, "verdict": "drop" if (n + index) % 9 == 0 else "keep"}
            for n in ids for index, name in enumerate(FILTERS)
        ],
        Label: [
            {"image_id": n, "target": "medium", "value": "film" if n % 7 == 0 else "digital", "origin": "rule",
             "author": "lightmeter", "version": "1"} for n in ids
        ],
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(HarvestRun).values(id=1, source="made-up", query={}, options={}))
        for table, values in rows.items():
            connection.execute(insert(table), values)
        connection.execute(text("ANALYZE"))
    engine.dispose()


class Page:
    """The requests of the page.

    Attributes:
        times: Milliseconds of the first request, and medians of wall-clock and processor time, by what was measured.
    """

    def __init__(self, server: BrowserServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        self._cookie = f"lightmeter-browser-{server.port}={server.token}"
        self._edits = 0
        self.times: dict[str, tuple[float, float, float]] = {}

    def send(self, path: str, message: dict[str, Any] | None = None) -> Any:
        body = None if message is None else json.dumps(message)
        headers = {"Cookie": self._cookie, "Content-Type": "application/json"}
        self._connection.request("GET" if body is None else "POST", path, body, headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        return answer

    def edit(self, path: str, view: dict[str, Any], **message: Any) -> Callable[[], Any]:
        self._edits += 1
        since = self.send(f"/api/changes?view={view['view']}&since={2**62}")["version"]
        message |= {"edit": str(self._edits), "view": view["view"], "since": since}
        return lambda: self.send(path, message)

    def measure(self, name: str, prepare: Callable[[int], Callable[[], Any]], repeats: int = REPEATS) -> Any:
        wall, cpu = [], []
        for repeat in range(repeats):
            work = prepare(repeat)
            start, busy = time.perf_counter(), time.process_time()
            answer = work()
            wall.append(1000 * (time.perf_counter() - start))
            cpu.append(1000 * (time.process_time() - busy))
        self.times[name] = wall[0], statistics.median(wall), statistics.median(cpu)
        return answer

    def open(self, name: str, **state: Any) -> Any:
        query = urlencode({"target": "medium", **state}, doseq=True)
        return self.measure(name, lambda _: lambda: self.send(f"/api/view?{query}&fresh=1"))


def run(project: Project) -> dict[str, tuple[float, float, float]]:
    engine = open_engine(project)
    targets = {name: entry.target for name, entry in list_targets(project).items()}
    start, busy = time.perf_counter(), time.process_time()
    session = Session(Library(project, engine, "ann"), targets, crops_by_kind(project.settings))
    session.library.labels("medium")
    with BrowserServer(session) as server:
        page = Page(server)
        wall = 1000 * (time.perf_counter() - start)
        page.times["start"] = wall, wall, 1000 * (time.process_time() - busy)
        page.open("all photographs with facets")
        page.open("facets: a camera, a range of ISO", camera="Canon EOS 3", iso="100-400")
        page.open("grouped by camera, sorted by date", group="camera", sort="-taken")
        for query in QUERIES:
            page.open(f"query {query}", q=query)
        page.open("words: street 97", q="street 97")
        for queue in ("unjudged", "no-face", "disagreements"):
            page.open(f"queue {queue}", queue=queue)
        view = page.send("/api/view?target=medium")
        middle = view["total"] // 2
        photographs = f"/api/photographs?view={view['view']}&limit=120&start="
        page.measure("page in the middle", lambda n: lambda: page.send(f"{photographs}{middle + 120 * n}"))
        page.measure("one photograph", lambda n: lambda: page.send(f"/api/photograph?image={middle + n}"))
        for number in (1, 1_000, 10_000, view["total"]):
            measure_label(page, view, number)
    engine.dispose()
    return page.times


def measure_label(page: Page, view: dict[str, Any], number: int) -> None:
    ranges = [[0, number - 1]]

    def label(repeat: int) -> Callable[[], Any]:
        return page.edit("/api/label", view, ranges=ranges, value=("film", "digital")[repeat % 2])

    page.measure(f"label {number:,}", label, 3)
    page.measure(f"undo of {number:,}", lambda _: page.edit("/api/undo", view), 3)


def print_profile(engine: Engine) -> None:
    """Print how long the server takes to write a label of all photographs, and to check that each of these exists."""
    if engine.dialect.name != "postgresql":
        return
    rows = "SELECT id, 'medium', 'film', 'manual', 'ann', now() FROM images"
    statement = f"INSERT INTO labels (image_id, target, value, origin, author, created_at) {rows}"
    with engine.connect() as connection:
        (plan,) = connection.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))
        connection.rollback()
    checks = sum(trigger["Time"] for trigger in plan["Triggers"])
    total = plan["Execution Time"]
    print(f"In the server a label of all takes {total:.0f} ms, {checks:.0f} of which check the foreign key.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary) / "project"
        if not (root / "lightmeter.toml").exists():
            lightmeter(["--quiet", "init", str(root)])
            fill(Project(root.resolve()), arguments.photographs)
        project = Project(root.resolve())
        times = run(project)
        engine = open_engine(project)
        print_profile(engine)
        engine.dispose()
    print(f"| {arguments.photographs:,} photographs | first, ms | median, ms | processor, ms |\n|---|---:|---:|---:|")
    for name, (first, median, processor) in times.items():
        over = " over the goal" if median > GOAL_MS and name != "start" else ""
        print(f"| {name} | {first:.0f} | {median:.0f} | {processor:.0f} |{over}")


if __name__ == "__main__":
    main()
