"""An archive is served by a Python with torch, numpy, Pillow and safetensors, with or without Lightmeter installed."""

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightmeter
from lightmeter.models.architectures import BUILT_IN
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Preprocessing
from tests.serve.support import make_photo, make_untrained_run, run_in_project
from tests.support import create_project

pytestmark = pytest.mark.server

PREPROCESSING = {
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
"""Small inputs for each architecture."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
PREDICT = """
import json, os, sys
from pathlib import Path

import numpy, PIL.Image, safetensors.torch, torch  # imported once; each archive is tested in a forked process

for folder in sys.argv[2:]:
    if not os.fork():
        sys.path.insert(0, folder)
        import lightmeter.serve.handler.handler
        from lightmeter.models.runtime.predictor import Predictor

        assert lightmeter.__file__.startswith(folder), lightmeter.__file__
        predictor = Predictor.load(Path(folder) / "run")
        prediction = predictor.predict(predictor.preprocess(Path(sys.argv[1]).read_bytes()))
        print(json.dumps(prediction.as_dict()), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, folder
"""


@pytest.fixture
def python_with_lightmeter(minimal_python: Path) -> Iterator[Path]:
    """The minimal Python while Lightmeter is installed in it, without its other requirements."""
    link = next((minimal_python.parents[1] / "lib").glob("python*/site-packages")) / "lightmeter"
    link.symlink_to(Path(lightmeter.__file__).parent)
    yield minimal_python
    link.unlink()


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "photo.jpg"
    file.write_bytes(make_photo())
    return file


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, photo_file: Path) -> dict[Path, dict[str, object]]:
    """The unpacked archive of every architecture, with its prediction in this process."""
    folder = tmp_path_factory.mktemp("architectures")
    project = create_project(folder / "project")
    predictions = {}
    for name, preprocessing in PREPROCESSING.items():
        run = make_untrained_run(project.runs / name, name, preprocessing)
        predictor = Predictor.load(run)
        result = run_in_project("serve", "archive", run, project=project)
        assert result.code == 0, result.error
        zipfile.ZipFile(result.document["archive"]).extractall(folder / name)
        prediction = predictor.predict(predictor.preprocess(photo_file.read_bytes()))
        predictions[folder / name] = prediction.as_dict()
    return predictions


def predict_with(python: Path, photo_file: Path, folders: list[Path]) -> list[object]:
    command = [python, "-c", PREDICT, photo_file, *folders]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD, cwd=photo_file.parent)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_minimal_python_has_no_other_packages(minimal_python: Path) -> None:
    names = ("lightmeter", "pydantic", "typer", "cv2", "sklearn", "pyarrow")
    code = f"from importlib.util import find_spec; print(*filter(find_spec, {names}))"
    assert subprocess.check_output([minimal_python, "-c", code], cwd=minimal_python.parent, env={}, text=True) == "\n"


def test_every_architecture_predicts_in_minimal_python(
    minimal_python: Path, photo_file: Path, unpacked: dict[Path, dict[str, object]]
) -> None:
    assert set(PREPROCESSING) == set(BUILT_IN)
    assert predict_with(minimal_python, photo_file, list(unpacked)) == list(unpacked.values())


def test_archive_is_used_instead_of_installed_lightmeter(
    python_with_lightmeter: Path, photo_file: Path, unpacked: dict[Path, dict[str, object]]
) -> None:
    folder = next(iter(unpacked))

    assert predict_with(python_with_lightmeter, photo_file, [folder]) == [unpacked[folder]]
