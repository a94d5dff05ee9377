"""The predictor: reproducible predictions, invalid run folders and its dependencies."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import BrokenModel, Preprocessing, read_spec
from tests.models.conftest import jpeg
from tests.support import run_text


def test_prediction_does_not_depend_on_other_photographs(trained: Path) -> None:
    predictor = Predictor.load(trained)
    photographs = [predictor.preprocess(jpeg(noisy=bool(seed % 2), seed=seed)) for seed in range(5)]
    alone = [predictor.predict(photo) for photo in photographs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor.predict, photographs[::-1])) == alone[::-1]


def test_prediction_does_not_depend_on_the_number_of_threads(trained: Path) -> None:
    predictor = Predictor.load(trained)
    photograph = predictor.preprocess(jpeg(noisy=True, seed=7))
    before = torch.get_num_threads()
    predictions = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        predictions.append(predictor.predict(photograph))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert predictions[0] == predictions[1] == predictions[2]


PREDICT_WITH_ALLOWED_IMPORTS = """
import importlib.abc, json, pathlib, sys
allowed = {"lightmeter", "torch", "numpy", "PIL", "safetensors"}

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        importer = sys._getframe(1)
        while importer and "importlib" in importer.f_code.co_filename:
            importer = importer.f_back
        if first not in allowed | sys.stdlib_module_names and "site-packages" not in importer.f_code.co_filename:
            raise ImportError(f"{name} is not allowed")
        travelling = ("models", "exposure", "images")
        light = ("errors", "files", "processes", "project", "store", "terminal")  # what lightmeter itself exports; stdlib only
        foreign = first == "lightmeter" and rest and not rest.startswith(travelling + light)
        if foreign or first in {"pydantic", "pyarrow", "typer", "rich", "tomli_w"}:
            raise ImportError(f"{name} is not allowed")

sys.meta_path.insert(0, Blocked())
from lightmeter.models.runtime.predictor import Predictor
predictor = Predictor.load(pathlib.Path(sys.argv[1]))
print(json.dumps(predictor.predict(sys.argv[2]).as_dict()))
"""


def test_predictor_needs_only_torch_numpy_pillow_and_safetensors(trained: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "photograph.jpg"
    photograph.write_bytes(jpeg(noisy=True, seed=9))
    process = subprocess.run(
        [sys.executable, "-c", PREDICT_WITH_ALLOWED_IMPORTS, str(trained), str(photograph)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        cwd=Path(__file__).parents[3],
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == Predictor.load(trained).predict(photograph).as_dict()


def test_spec_of_a_trained_run(trained: Path) -> None:
    spec = read_spec(trained)
    assert (spec.name, spec.recipe, spec.architecture) == ("noise", "patches", "efficientnet-lite0")
    assert spec.classes == {"shutter": 2}
    assert spec.preprocessing.patches == 2


def edit_spec(run: Path, before: str, after: str) -> None:
    text = (run / "model.toml").read_text()
    assert before in text
    (run / "model.toml").write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[[targets]]", "[[targets", "Cannot read"),
        ('name = "noise"', 'name = "../noise"', "name may contain letters"),
        ("patches = 2", "patches = 100000000", "patches must be between"),
        ("[ranges]", "[ranges]\nx = " + "[" * 9999, "nested too deeply"),
        ("[architecture_options]", "[architecture_options]\nwidth = 1000000000", "width must be between"),
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
def test_invalid_spec_raises_error(run: Path, before: str, after: str, message: str) -> None:
    edit_spec(run, before, after)
    with pytest.raises(BrokenModel, match=message):
        Predictor.load(run)


def test_pixels_of_all_patches_are_bounded() -> None:
    with pytest.raises(ValueError, match="all patches together may have"):
        Preprocessing(patches=4096, patch_size=1024)


def test_truncated_changed_or_missing_weights_raise_error(run: Path) -> None:
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(BrokenModel, match="differs from"):
        Predictor.load(run)
    edit_spec(run, "\nweights_sha256", "\n# weights_sha256")
    with pytest.raises(BrokenModel, match="is damaged"):
        Predictor.load(run)
    weights.unlink()
    with pytest.raises(BrokenModel, match="Cannot read"):
        Predictor.load(run)
    os.mkfifo(weights)
    with pytest.raises(BrokenModel, match="regular file"):
        Predictor.load(run)


def test_weights_of_another_network_raise_error(run: Path) -> None:
    edit_spec(run, '    "slow",\n', '    "slow",\n    "slower",\n')
    edit_spec(run, "    -4.0,\n", "    -4.0,\n    -2.0,\n")
    with pytest.raises(BrokenModel, match="does not fit"):
        Predictor.load(run)


def test_trees_with_invalid_indices_raise_error(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "trees"
    options = ["--data", dataset.folder, "--out", run, "--set", "iterations=3", "--quiet"]
    run_text("models", "train", "quality-features", *options)
    edit_spec(run, "\nweights_sha256", "\n# weights_sha256")
    content = (run / "model.safetensors").read_bytes()
    for table in ("feature", "below", "above"):
        weights = load(content)
        weights[f"targets.shutter.{table}"][0, 0, 0] = 10**9
        save_file(weights, run / "model.safetensors")
        with pytest.raises(BrokenModel, match=f"the table '{table}' of a tree has an index"):
            Predictor.load(run)


def test_folder_without_model_raises_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match="is not a run folder"):
        Predictor.load(tmp_path)
