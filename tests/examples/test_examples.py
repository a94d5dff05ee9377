"""The example plugins: each is installed next to Lightmeter and passes its tests.

The tests of the examples use `lightmeter.testing`, which also runs each plugin with commands: a harvest from the source,
the filter with settings of lightmeter.toml, labels of the target, and training with architecture options of a recipe.
"""

import contextlib
import os
import re
import zipfile
from pathlib import Path

import hatchling.build
import pytest

from tests.support import CommandRunner

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the examples are installed."""
    site = tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        with contextlib.chdir(EXAMPLES / name):
            wheel = hatchling.build.build_wheel(str(site))
        zipfile.ZipFile(site / wheel).extractall(site)
    return site


def test_each_kind_of_plugin_has_an_example() -> None:
    kinds = {name.split("-")[1] for name in PACKAGES}
    assert kinds == {"source", "filter", "target", "architecture"}


@pytest.fixture(scope="module")
def outcomes(site: Path, tmp_path_factory: pytest.TempPathFactory, all_commands: CommandRunner) -> dict[str, list[str]]:
    """The outcome of each test by package."""
    options = ["-rA", "-q", "--durations=12", "-p", "no:cacheprovider", "-c", os.devnull]
    result = all_commands.run(
        site,
        *options,
        *PACKAGES,
        function="tests.examples.installed:run_tests",
        folder=EXAMPLES,
        env={"PYTEST_DEBUG_TEMPROOT": str(tmp_path_factory.mktemp("outcomes"))},
    )
    lines = re.findall(r"^(PASSED|FAILED|ERROR) ([\w-]+)/", result.output, re.MULTILINE)
    assert lines, result.output + result.error
    print(result.output)
    return {name: [outcome for outcome, package in lines if package == name] for name in PACKAGES}


@pytest.mark.parametrize("name", PACKAGES)
def test_example_passes_its_tests(name: str, outcomes: dict[str, list[str]]) -> None:
    assert set(outcomes[name]) == {"PASSED"}
    assert len(outcomes[name]) >= 6


def test_example_source_is_listed_with_its_package(site: Path, all_commands: CommandRunner) -> None:
    rows = all_commands(site, "harvest", "sources", function="tests.examples.installed:run_command")
    row = next(row for row in rows if row["name"] == "gallery")
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
