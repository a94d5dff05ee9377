"""Engines: every network gives the same numbers with each of them, and what cannot run is one sentence."""

import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import ModelSpec, Target, read_spec
from lightmeter.models.training.recipe import list_recipes, read_recipe
from tests.models.conftest import SMALL, TINY, jpeg
from tests.support import run_error, run_json, run_text

FASTER = [name for name in get_args(EngineName) if name != "torch"]
TARGETS = (Target("shutter", ("slow", "fast"), (-4.0, -10.0), "log2 s"), Target("medium", ("film", "digital")))


def predictors(recipe: str, *engines: EngineName) -> list[Predictor]:
    """Return a predictor with each engine, of one network with random weights."""
    settings = read_recipe(recipe, [value for value in TINY[recipe] if "=" in value])
    spec = ModelSpec(
        "x", "1.0", "0", recipe, settings.architecture, settings.preprocessing, TARGETS, settings.architecture_options
    )
    torch.manual_seed(0)
    network = architectures.build(spec)
    return [Predictor(spec, network, engine=engine, threads=2) for engine in engines]


@pytest.mark.parametrize("engine", FASTER)
@pytest.mark.parametrize("recipe", list_recipes())
def test_engines_give_the_numbers_of_torch(recipe: str, engine: EngineName) -> None:
    reference, faster = predictors(recipe, "torch", engine)
    photo = preprocess(jpeg(noisy=True, seed=1, exif=True), reference.spec.preprocessing)
    expected, computed = reference.predict(photo), faster.predict(photo)
    assert computed.engine == engine
    for target in TARGETS:
        probabilities = [prediction.predictions[target.name].probabilities for prediction in (expected, computed)]
        assert list(probabilities[1].values()) == pytest.approx(list(probabilities[0].values()), abs=1e-4)


def test_commands_use_the_engine(dataset: Dataset, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL, "--engine", "openvino")
    assert read_spec(run).training["engine"].startswith("openvino 2")
    photograph = dataset.store / dataset.rows("test")[0]["path"]
    predictions = {
        engine: run_json("models", "predict", trained, photograph, "--engine", engine)[0]
        for engine in get_args(EngineName)
    }
    assert [prediction["engine"] for prediction in predictions.values()] == list(predictions)
    similar = [
        run_json("models", "similar", trained, photograph, "--data", dataset.folder, "--engine", engine)
        for engine in predictions
    ]
    assert all([entry["file"] for entry in result] == [entry["file"] for entry in similar[0]] for result in similar)


def test_unusable_engines_are_one_sentence(
    dataset: Dataset, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["models", "train", "--data", dataset.folder, "--out", tmp_path / "run"]
    assert "runs on the CPU" in run_error(*train, "patches", "--device", "cuda", "--engine", "openvino")
    assert "--engine onnxruntime is for probes" in run_error(*train, "haoran-cnn", "--engine", "onnxruntime")
    assert "is not one of 'torch'" in run_error(*train, "patches", "--engine", "tensorrt")
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = "needs the package openvino: pip install 'lightmeter[openvino]'"
    assert message in run_error(*train, "patches", "--engine", "openvino")
    monkeypatch.setenv("LIGHTMETER_MODELS__ENGINE", "openvino")
    assert message in run_error("models", "predict", trained, "photograph.jpg")
