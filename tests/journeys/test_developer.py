"""The plugin developer's job: a source and a filter of one's own, and what happens to the plugins of others."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmeter.testing import photograph, served
from tests.journeys.support import Journey
from tests.support import LOOPBACK, CommandResult, CommandRunner

MUSEUM = '''
from collections.abc import Iterator

import httpx
import numpy as np

from lightmeter.harvest import KEEP, Argument, Filter, Measurement, Section, Sighting, Source, SourceQuery


class Museum(Source):
    name = "museum"
    summary = "a museum with a list of photographs as JSON"

    class Query(SourceQuery):
        """Harvest a museum."""

        start: str = Argument("URL of the list.")

    def discover(self, query, cursor):
        for entry in httpx.get(query.start, trust_env=False).json():
            url = str(httpx.URL(query.start).join(entry["image"]))
            yield Sighting(source_id=entry["id"], media_url=url, licence="CC-BY-4.0")


class SepiaSettings(Section):
    """No settings."""


class Sepia(Filter[SepiaSettings]):
    name, version, summary, Settings = "sepia", 1, "redness", SepiaSettings

    def measure(self, image):
        return Measurement({"redness": np.float32(image.reduced[..., 0].mean())})

    def judge(self, measures):
        return KEEP
'''
POINTS = """
[lightmeter.sources]
museum = museum:Museum
[lightmeter.filters]
sepia = museum:Sepia
"""
BROKEN = "[lightmeter.sources]\nbroken = broken:Broken\nreserved = reserved:Reserved\n"
RESERVED = """
from lightmeter.harvest import Option, Source, SourceQuery


class Reserved(Source):
    name = "reserved"
    summary = "takes the name of an option of every source"

    class Query(SourceQuery):
        limit: int = Option(1, "Ours.")

    def discover(self, query, cursor):
        return iter(())
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder with three packages as pip installs them: one that works, and two that do not."""
    folder = tmp_path / "plugins"
    for name, points in (("museum", POINTS), ("broken", BROKEN)):
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(points)
    (folder / "museum.py").write_text(MUSEUM)
    (folder / "broken.py").write_text("import a_package_that_is_not_installed\n")
    (folder / "reserved.py").write_text(RESERVED)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """URL of a museum with four photographs, one of which is none."""
    folder = tmp_path / "museum"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    (folder / "3.jpg").write_text("no photograph")
    entries = [{"id": f"m{number}", "image": f"{number}.jpg"} for number in range(4)]
    (folder / "list.json").write_text(json.dumps(entries))
    with served(folder) as server:
        yield f"{server.url}/list.json"


def test_developer_adds_a_source_and_a_filter(
    lightmeter: CommandRunner, tmp_path: Path, plugins: Path, url: str
) -> None:
    journey = Journey(lightmeter, tmp_path)

    def run(*args: str, code: int = 0) -> CommandResult:
        environment = os.environ | LOOPBACK | {"PYTHONPATH": str(plugins)}
        process = subprocess.run(
            lightmeter.command(*args), capture_output=True, text=True, cwd=journey.project, env=environment, check=False
        )
        assert process.returncode == code, process.stderr
        assert "Traceback" not in process.stderr
        return CommandResult(process.returncode, process.stdout, process.stderr)

    assert "3 fetched, 1 failed" in run("harvest", "run", "museum", url).output
    rows = run("catalogue", "list", "--columns", "source,licence,sepia.redness", "--json").document
    assert {(row["source"], row["licence"]) for row in rows} == {("museum", "CC-BY-4.0")}
    assert all(isinstance(row["sepia_redness"], float) for row in rows)
    assert "did you mean museum?" in run("harvest", "run", "musuem", url, code=2).error
    assert "museum" in run("harvest", "run", "--help").output  # beside two packages that do not work
    assert "museum" not in journey("harvest sources").output  # not installed in this process
