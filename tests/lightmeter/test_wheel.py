"""The wheel contains everything that the repository tracks and works when installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built with this environment's build tools."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_contains_all_tracked_files(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so the expected files are unknown")
    layers = ("harvest/", "labels/", "models/", "serve/", "migrations/")
    tracked = {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}
    expected = {f"lightmeter/{name}" for name in tracked if name.startswith(layers)}
    expected |= {name for name in tracked if name.startswith("lightmeter/")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert expected <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"lightmeter"}


def test_wheel_works_in_new_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    installed = Path(next(path for path in sys.path if path.endswith("site-packages")))
    (packages / "dependencies.pth").write_text(f"{_dependencies(installed, tmp_path)}\n")
    code = "from lightmeter import harvest, migrations; print(harvest.__file__, migrations.__file__)"
    python = str(environment / "bin" / "python")
    completed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert all(str(packages) in path for path in completed.stdout.split())
    subprocess.run([python, "-m", "lightmeter", "init", "p"], check=True, cwd=tmp_path, capture_output=True)
    subprocess.run([python, "-m", "lightmeter", "models", "recipes"], check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "p" / "catalogue.sqlite").is_file()


def _dependencies(packages: Path, folder: Path) -> Path:
    """Return a folder of links to every installed package except Lightmeter."""
    links = folder / "dependencies"
    links.mkdir()
    for path in packages.iterdir():
        if "lightmeter" not in path.name.lower() and path.suffix != ".pth":
            (links / path.name).symlink_to(path)
    return links
