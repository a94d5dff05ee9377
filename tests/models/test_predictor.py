"""The predictor: what it answers, what it refuses, and what it needs."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.predictor import BrokenModel, InvalidPhoto, Predictor
from lightmeter.models.runtime.preprocess import patch_positions, preprocess
from lightmeter.models.runtime.spec import Preprocessing, read_spec
from tests.support import run_text

from .conftest import jpeg


def test_a_photograph_is_answered_the_same_whatever_else_is_asked(trained: Path) -> None:
    predictor = Predictor.load(trained)
    photographs = [predictor.preprocess(jpeg(noisy=bool(seed % 2), seed=seed)) for seed in range(5)]
    alone = [predictor.predict(photo) for photo in photographs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor.predict, photographs[::-1])) == alone[::-1]


def test_the_number_of_threads_changes_nothing(trained: Path) -> None:
    predictor = Predictor.load(trained)
    photograph = predictor.preprocess(jpeg(noisy=True, seed=7))
    before = torch.get_num_threads()
    answers = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        answers.append(predictor.predict(photograph))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert answers[0] == answers[1] == answers[2]


ALONE = """
import importlib.abc, json, pathlib, sys
allowed = {"lightmeter", "torch", "numpy", "PIL", "safetensors"}

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        asking = sys._getframe(1)
        while asking and "importlib" in asking.f_code.co_filename:
            asking = asking.f_back
        ours = asking and f"{pathlib.os.sep}models{pathlib.os.sep}" in asking.f_code.co_filename
        if first not in allowed | sys.stdlib_module_names and "site-packages" not in asking.f_code.co_filename:
            raise ImportError(f"{name} is not there")
        ours_elsewhere = first == "lightmeter" and rest and not rest.startswith(("models", "exposure", "geometry", "image_statistics"))
        if ours_elsewhere or first in {"pydantic", "pyarrow", "typer", "rich", "tomli_w"}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocked())
from lightmeter.models.runtime.predictor import Predictor
predictor = Predictor.load(pathlib.Path(sys.argv[1]))
reading = predictor.predict(predictor.preprocess(pathlib.Path(sys.argv[2]).read_bytes()))
print(json.dumps(reading.as_dict()))
"""


def test_it_needs_torch_numpy_pillow_and_safetensors_alone(trained: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(jpeg(noisy=True, seed=9))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(trained), str(photograph)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    predictor = Predictor.load(trained)
    here = predictor.predict(predictor.preprocess(photograph.read_bytes()))
    assert json.loads(done.stdout) == here.as_dict()


def test_patches_are_cut_and_never_resized() -> None:
    data = jpeg(noisy=True, seed=3)
    cut = preprocess(data, Preprocessing(patches=4, patch_size=32))
    assert (cut.width, cut.height) == (160, 120)
    import io

    from PIL import Image

    whole = np.asarray(Image.open(io.BytesIO(data)))
    for patch, (left, top) in zip(cut.inputs["patches"], patch_positions(160, 120, 4, 32), strict=True):
        assert np.array_equal(patch.transpose(1, 2, 0), whole[top : top + 32, left : left + 32])


def test_fewer_patches_are_the_beginning_of_more() -> None:
    assert patch_positions(640, 480, 3, 128) == patch_positions(640, 480, 8, 128)[:3]
    assert patch_positions(128, 128, 2, 128) == [(0, 0), (0, 0)]


def test_a_picture_smaller_than_a_patch_is_continued_by_its_mirror_image() -> None:
    cut = preprocess(jpeg(noisy=False, seed=1, size=(40, 200)), Preprocessing(patches=1, patch_size=64))
    (patch,) = cut.inputs["patches"]
    assert np.array_equal(patch[:, :, 40:64], patch[:, :, 39:15:-1])


@pytest.mark.parametrize(
    ("data", "settings", "status"),
    [
        (b"", Preprocessing(), 400),
        (b"no photograph at all", Preprocessing(), 415),
        (jpeg(noisy=True, seed=0)[:4000], Preprocessing(), 400),
        (jpeg(noisy=True, seed=0), Preprocessing(max_bytes=100), 413),
        (jpeg(noisy=True, seed=0), Preprocessing(max_pixels=100), 413),
        (jpeg(noisy=True, seed=0, size=(20, 200)), Preprocessing(), 422),
    ],
)
def test_what_cannot_be_used_has_a_status_and_a_reason(data: bytes, settings: Preprocessing, status: int) -> None:
    with pytest.raises(InvalidPhoto) as caught:
        preprocess(data, settings)
    assert caught.value.status == status
    assert caught.value.reason.endswith(".")


@pytest.mark.shared
def test_broken_files_are_refused_and_odd_ones_read(shared: Path) -> None:
    statuses = {}
    for file in sorted((shared / "broken").rglob("*.*")):
        if file.suffix in {".md", ".csv"}:
            continue
        try:
            inputs = preprocess(file.read_bytes(), Preprocessing(patches=2, view_size=32)).inputs
            assert inputs["patches"].shape == (2, 3, 128, 128)
            assert inputs["view"].shape == (3, 32, 32)
            statuses[f"{file.parent.name}/{file.name}"] = 200
        except InvalidPhoto as error:
            statuses[f"{file.parent.name}/{file.name}"] = error.status
    assert {statuses[f"orient/orient{number}.jpg"] for number in range(1, 9)} == {200}
    assert statuses["formats/grey16.png"] == 200
    assert statuses["size/bomb_30000x30000.png"] == 413
    assert statuses["notimage/html.jpg"] == 415
    assert statuses["size/pixel_1x1.jpg"] == 422


def test_a_run_that_is_whole(trained: Path) -> None:
    spec = read_spec(trained)
    assert (spec.name, spec.recipe, spec.architecture) == ("noise", "patches", "efficientnet-lite0")
    assert spec.classes == {"shutter": 2}
    assert spec.preprocessing.patches == 2


def change(run: Path, before: str, after: str) -> None:
    text = (run / "model.toml").read_text()
    assert before in text
    (run / "model.toml").write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[[targets]]", "[[targets", "Cannot read"),
        ('name = "noise"', 'name = "../noise"', "name may contain letters"),
        ("patches = 2", "patches = 100000000", "patches must be between"),
        ("patches = 2", 'patches = "2"', "patches must be a whole number"),
        ("patches = 2", "patches = 2\ncommand = 3", "unknown setting 'command' in preprocessing"),
        ('"fast",', "", "two or more distinct classes"),
        ("temperature", "warmth", "unknown setting 'warmth' in targets"),
        (
            'architecture = "efficientnet-lite0"',
            'architecture = "os.system"',
            "architecture 'os.system' is not installed",
        ),
        ('recipe = "patches"\n', "", "'recipe' is missing"),
        ("[ranges]", "[ranges]\nblur = [2.0, 1.0]", "ranges.blur must be two numbers"),
        ("[ranges]", "[ranges]\nblur = [1.0, nan]", "ranges.blur must be a finite number"),
    ],
)
def test_a_spec_that_is_wrong(run: Path, before: str, after: str, said: str) -> None:
    change(run, before, after)
    with pytest.raises(BrokenModel, match=said):
        Predictor.load(run)


def test_weights_that_are_cut_off_exchanged_or_missing(run: Path) -> None:
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(BrokenModel, match="differs from"):
        Predictor.load(run)
    change(run, "weights_sha256", "# weights_sha256")
    with pytest.raises(BrokenModel, match="is damaged"):
        Predictor.load(run)
    weights.unlink()
    with pytest.raises(BrokenModel, match="Cannot read"):
        Predictor.load(run)


def test_weights_that_fit_another_network(run: Path) -> None:
    change(run, '    "slow",\n', '    "slow",\n    "slower",\n')
    change(run, "    -4.0,\n", "    -4.0,\n    -2.0,\n")
    with pytest.raises(BrokenModel, match="does not fit"):
        Predictor.load(run)


@pytest.mark.parametrize("table", ["feature", "below", "above"])
def test_trees_that_point_outside_of_themselves(table: str, dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "trees"
    options = ["--data", dataset.folder, "--out", run, "--set", "iterations=3", "--quiet"]
    run_text("models", "train", "quality-features", *options)
    weights = load_file(run / "model.safetensors")
    weights[f"targets.shutter.{table}"][0, 0, 0] = 10**9
    save_file(weights, run / "model.safetensors")
    change(run, "weights_sha256", "# weights_sha256")
    with pytest.raises(BrokenModel, match=f"the table '{table}' of a tree has an index"):
        Predictor.load(run)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match="is not a run folder"):
        Predictor.load(tmp_path)
