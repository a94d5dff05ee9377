"""The example plugins: each is installed next to Lightmeter and passes its tests.

The tests of the examples use `lightmeter.testing`, which also runs each plugin with commands: a harvest from the source,
the filter with settings of lightmeter.toml, labels of the target, and training with architecture options of a recipe.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with which the examples are importable as installed packages."""
    target = tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        with contextlib.chdir(EXAMPLES / name):
            wheel = hatchling.build.build_wheel(str(target))
        zipfile.ZipFile(target / wheel).extractall(target)
    return {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{EXAMPLES.parent}"}


def test_each_kind_of_plugin_has_an_example() -> None:
    kinds = {name.split("-")[1] for name in PACKAGES}
    assert kinds == {"source", "filter", "target", "architecture"}


@pytest.fixture(scope="module")
def outcomes(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The outcome of each test by package."""
    folder = tmp_path_factory.mktemp("outcomes")
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-rA",
            "-q",
            "--durations=12",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.empty_plots",
            "-c",
            os.devnull,
            *PACKAGES,
        ],
        env=environment | {"PYTEST_DEBUG_TEMPROOT": str(folder)},
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.findall(r"^(PASSED|FAILED|ERROR) ([\w-]+)/", process.stdout, re.MULTILINE)
    assert lines, process.stdout + process.stderr
    print(process.stdout)
    return {name: [outcome for outcome, package in lines if package == name] for name in PACKAGES}


@pytest.mark.parametrize("name", PACKAGES)
def test_example_passes_its_tests(name: str, outcomes: dict[str, list[str]]) -> None:
    assert set(outcomes[name]) == {"PASSED"}
    assert len(outcomes[name]) >= 6


def test_example_source_is_listed_with_its_package(environment: dict[str, str], project: Path) -> None:
    command = [sys.executable, "-m", "lightmeter", "harvest", "sources", "--json"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    row = next(row for row in json.loads(process.stdout) if row["name"] == "gallery")
    assert (row["origin"], row["version"], row["ready"]) == ("lightmeter-source-gallery", "1.0.0", True)


@pytest.mark.parametrize("name", PACKAGES)
def test_example_is_short(name: str) -> None:
    modules = [path for path in (EXAMPLES / name).rglob("*.py") if "tests" not in path.parts]
    assert 0 < sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules) <= 60


def test_plugin_guide_shows_code_of_examples() -> None:
    guide = (EXAMPLES.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
    for path in sorted(EXAMPLES.glob("lightmeter-*/**/*")):
        if path.suffix == ".py" or (path.suffix == ".toml" and path.name != "pyproject.toml"):
            assert path.read_text(encoding="utf-8").strip() in guide, f"docs/plugins.md differs from {path.name}"
