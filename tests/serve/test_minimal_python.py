"""An archive runs in a TorchServe whose Python has torch, numpy, Pillow and safetensors, and nothing of Lightmeter."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from lightmeter.project import Project
from tests.serve.support import say

pytestmark = pytest.mark.server

NEEDED = ("torch", "numpy", "pillow", "safetensors")
TORCHSERVE = ("torchserve", "pyyaml")


def closure(names: tuple[str, ...]) -> set[str]:
    """Return distributions and what they require, extras and other platforms' requirements left out."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            plain = [text for text in requirements if "extra ==" not in text]
            wanted += [match[0] for text in plain if (match := re.match(r"[\w.-]+", text))]
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has what an archive needs and what TorchServe needs, linked from this one's packages."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    for name in closure((*NEEDED, *TORCHSERVE)):
        for file in distribution(name).files or []:
            top = file.parts[0]
            source = Path(str(distribution(name).locate_file(top)))
            if top not in {"..", "__pycache__"} and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return folder / "bin" / "python"


@pytest.fixture
def served_there(place: Project, python: Path) -> Iterator[None]:
    said = say("serve", "start", "--server", "minimal", "--python", python, project=place.root)
    assert said.code == 0, said.error
    yield
    say("serve", "stop", "--server", "minimal", project=place.root)


def test_lightmeter_is_not_there(python: Path) -> None:
    for name in ("lightmeter", "harvest", "pydantic", "typer", "cv2", "sklearn", "pyarrow"):
        answer = subprocess.run(
            [python, "-c", f"import {name}"], capture_output=True, check=False, cwd=python.parent, env={}
        )
        assert answer.returncode == 1, name


def test_the_archive_is_served_and_its_answer_is_the_same(place: Project, served_there: None, photograph: Path) -> None:
    there = say("serve", "predict", "tiny", photograph, "--server", "minimal", project=place.root)
    here = say("models", "predict", "tiny", photograph, project=place.root)

    assert there.code == 0
    assert there.document == here.document
