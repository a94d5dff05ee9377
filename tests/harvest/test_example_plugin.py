"""The example of an external source plugin, built, installed beside Lightmeter and tested by its own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lightmeter-source-gallery"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of an environment in which the example is installed too."""
    target = tmp_path_factory.mktemp("site")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, *install, str(EXAMPLE)], check=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_it_is_listed_with_its_origin(installed: dict[str, str], project: Path) -> None:
    words = [sys.executable, "-m", "lightmeter", "harvest", "sources", "--json"]
    done = subprocess.run(words, env=installed, capture_output=True, text=True, check=True)
    row = next(row for row in json.loads(done.stdout) if row["name"] == "gallery")
    assert (row["origin"], row["version"], row["ready"]) == ("lightmeter-source-gallery", "1.0.0", True)


def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "tests")]
    done = subprocess.run(words, env=installed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def test_it_is_as_short_as_promised() -> None:
    code = (EXAMPLE / "lightmeter_source_gallery.py").read_text().splitlines()
    assert len(code) <= 40
