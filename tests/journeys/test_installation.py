"""The wheel contains everything that the repository tracks and works when installed."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.journeys.conftest import Installation
from tests.support import ROOT, CommandRunner


def test_wheel_contains_all_tracked_files(installation: Installation) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so the expected files are unknown")
    layers = ("harvest/", "labels/", "models/", "serve/", "migrations/")
    tracked = {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}
    expected = {f"lightmeter/{name}" for name in tracked if name.startswith(layers)}
    expected |= {name for name in tracked if name.startswith("lightmeter/")}
    with zipfile.ZipFile(installation.wheel) as archive:
        names = set(archive.namelist())
    assert expected <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"lightmeter"}


def test_commands_run_from_the_wheel(
    installation: Installation, lightmeter: CommandRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from lightmeter import harvest, migrations; print(harvest.__file__, migrations.__file__)"
    command = [str(installation.python), "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert all(str(installation.packages) in path for path in completed.stdout.split())
    monkeypatch.chdir(tmp_path)
    lightmeter("init", "p")
    assert (tmp_path / "p" / "catalogue.sqlite").is_file()
