"""The wheel of this checkout, installed once for all journeys."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ALL_MODULES, ROOT, CommandRunner


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel and, as links, everything that it depends on.

    Attributes:
        wheel: The wheel.
        python: Interpreter of the environment.
        packages: Its folder of packages.
        root: Folder with a link to ``tests``, but without the checkout's package.
    """

    wheel: Path
    python: Path
    packages: Path
    root: Path


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, built with this environment's build tools, in a new environment."""
    folder = tmp_path_factory.mktemp("installation")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(f"{_dependencies(folder)}\n")
    root = folder / "root"
    root.mkdir()
    (root / "tests").symlink_to(ROOT / "tests")
    return Installation(wheel, environment / "bin" / "python", packages, root)


def _dependencies(folder: Path) -> Path:
    """Return a folder of links to every installed package except Lightmeter."""
    links = folder / "dependencies"
    links.mkdir()
    for installed in (Path(path) for path in sys.path if path.endswith("site-packages")):
        for path in installed.iterdir():
            link = links / path.name
            if "lightmeter" not in path.name.lower() and path.suffix != ".pth" and not link.is_symlink():
                link.symlink_to(path)
    return links


@pytest.fixture(scope="session")
def lightmeter(installation: Installation) -> Iterator[CommandRunner]:
    """The ``lightmeter`` command of the installed wheel; plots are empty."""
    runner = CommandRunner("tests.empty_plots", *ALL_MODULES, python=installation.python, root=installation.root)
    yield runner
    runner.close()
