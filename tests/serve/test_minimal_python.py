"""An archive runs in a TorchServe whose Python has torch, numpy, Pillow and safetensors, and nothing of Lightmeter."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from lightmeter.models.architectures import BUILT_IN
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project
from tests.serve.support import make_photograph, make_untrained
from tests.support import create_project, run_command

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
    said = run_command("serve", "start", "--server", "minimal", "--python", python, "--json", project=place.root)
    assert said.code == 0, said.error
    yield
    run_command("serve", "stop", "--server", "minimal", "--json", project=place.root)


def test_lightmeter_is_not_there(python: Path) -> None:
    for name in ("lightmeter", "harvest", "pydantic", "typer", "cv2", "sklearn", "pyarrow"):
        answer = subprocess.run(
            [python, "-c", f"import {name}"], capture_output=True, check=False, cwd=python.parent, env={}
        )
        assert answer.returncode == 1, name


def test_the_archive_is_served_and_its_answer_is_the_same(place: Project, served_there: None, photograph: Path) -> None:
    there = run_command("serve", "predict", "tiny", photograph, "--server", "minimal", "--json", project=place.root)
    here = run_command("models", "predict", "tiny", photograph, "--json", project=place.root)

    assert there.code == 0
    assert there.document == here.document


CUTS = {
    "efficientnet-lite0": Preprocessing(patches=2, patch_size=64),
    "fusion": Preprocessing(patches=0, view_size=64, exif=("f_number", "flash")),
    "grid-vote": Preprocessing(patches=20, patch_size=5),
    "lightmeter": Preprocessing(patches=2, patch_size=64, view_size=64),
    "lightmeter-attention": Preprocessing(patches=2, patch_size=64, view_size=64),
    "mobilenet-v2": Preprocessing(patches=0, view_size=64),
    "small-cnn": Preprocessing(patches=0, view_size=32),
    "trees": Preprocessing(patches=0, measures=True),
    "vgg16-patches": Preprocessing(patches=2, patch_size=64),
    "vgg16-view": Preprocessing(patches=0, view_size=64),
}
"""What each architecture is given, made small."""

ASK = """
import json, os, sys
from pathlib import Path

import numpy, PIL.Image, safetensors.torch, torch  # once for all archives, each of which has its own process

for folder in sys.argv[2:]:
    if not os.fork():
        sys.path.insert(0, folder)
        import lightmeter.serve.handler.handler
        from lightmeter.models.runtime.predictor import Predictor

        predictor = Predictor.load(Path(folder) / "run")
        reading = predictor.predict(predictor.preprocess(Path(sys.argv[1]).read_bytes()))
        print(json.dumps(reading.as_dict()), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, folder
"""


def test_every_architecture_travels(tmp_path: Path, python: Path) -> None:
    assert set(CUTS) == set(BUILT_IN)
    project = create_project(tmp_path / "project")
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(make_photograph())
    expected, folders = [], []
    for name, cut in CUTS.items():
        run = make_untrained(project.runs / name, name, cut)
        predictor = Predictor.load(run)
        expected.append(predictor.predict(predictor.preprocess(photograph.read_bytes())).as_dict())
        said = run_command("serve", "archive", run, "--json", project=project.root)
        assert said.code == 0, said.error
        folders.append(tmp_path / name)
        zipfile.ZipFile(said.document["archive"]).extractall(folders[-1])

    done = subprocess.run(
        [python, "-c", ASK, photograph, *folders], capture_output=True, text=True, check=False, env={}, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
