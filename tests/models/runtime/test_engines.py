"""Engines: every network gives the same numbers with each of them, and what cannot run is one sentence."""

import gc
import importlib
import json
import os
import signal
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures
from lightmeter.models.export import SUFFIXES
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.engines.outputs import NetworkOutput
from lightmeter.models.runtime.predictor import Predictor, stack
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target, read_spec
from lightmeter.models.training.recipe import list_recipes, read_recipe
from tests.models.conftest import SMALL, TINY, jpeg, settings
from tests.serve.support import make_untrained_run
from tests.support import run_error, run_json, run_text

RECIPES = [name for name in list_recipes() if name not in {"lederer-exif", "lederer-image"}]  # parts of lederer-fusion
FASTER = [name for name in get_args(EngineName) if name != "torch"]
TARGETS = (Target("shutter", ("slow", "fast"), (-4.0, -10.0), "log2 s"), Target("medium", ("film", "digital")))


def predictors(recipe: str, *engines: EngineName, seed: int = 0) -> list[Predictor]:
    """Return a predictor with each engine, of one network with random weights."""
    tiny = read_recipe(recipe, [value for value in TINY[recipe] if "=" in value])
    spec = ModelSpec("x", "1.0", "0", recipe, tiny.architecture, tiny.preprocessing, TARGETS, tiny.architecture_options)
    torch.manual_seed(seed)
    network = architectures.build(spec)
    return [Predictor(spec, network, engine=engine, threads=2) for engine in engines]


@pytest.mark.usefixtures("small_backbones")
@pytest.mark.parametrize("recipe", RECIPES)
def test_engines_give_the_numbers_of_torch(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: dict[str, tuple[bytes, list[str]]] = {}
    onnx = NetworkOutput.onnx

    def convert_once(self: NetworkOutput) -> bytes:
        if self.output not in converted:
            converted[self.output] = onnx(self), self.names
        content, self.names = converted[self.output]
        return content

    monkeypatch.setattr(NetworkOutput, "onnx", convert_once)
    reference, *others = predictors(recipe, "torch", *FASTER)
    photo = preprocess(jpeg(noisy=True, seed=1, exif=True), reference.spec.preprocessing)
    expected = reference.predict(photo)
    for engine, faster in zip(FASTER, others, strict=True):
        computed = faster.predict(photo)
        assert computed.engine == engine
        for target in TARGETS:
            probabilities = [prediction.predictions[target.name].probabilities for prediction in (expected, computed)]
            assert list(probabilities[1].values()) == pytest.approx(list(probabilities[0].values()), abs=1e-4)


def test_no_engine_reports_its_use() -> None:
    utilities = importlib.import_module("openvino.tools.ovc.telemetry_utils")
    assert utilities.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("engine", FASTER)
def test_converted_networks_are_cached(engine: EngineName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    converted: list[NetworkOutput] = []
    onnx = NetworkOutput.onnx
    monkeypatch.setattr(NetworkOutput, "onnx", lambda self: converted.append(self) or onnx(self))

    def prepared(seed: int, recipe: str = "haoran-cnn") -> NDArray[np.float32]:
        (predictor,) = predictors(recipe, engine, seed=seed)
        photo = preprocess(jpeg(noisy=True, seed=1), predictor.spec.preprocessing)
        logits = predictor.compute("logits", stack([photo]))["shutter"]
        assert np.allclose(predictor.compute("logits", stack([photo, photo]))["shutter"], logits, atol=1e-5)
        return logits

    first = prepared(0)
    assert np.array_equal(prepared(0), first)
    assert len(converted) == 1
    assert not np.array_equal(prepared(1), first)
    assert len(converted) == 2, "other weights are another network"
    for file in (tmp_path / "lightmeter" / "engines").iterdir():
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:100])
    assert np.allclose(prepared(0), first, atol=1e-5)
    assert len(converted) == 3, "a damaged file is made anew"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("common_cache")
def test_signals_are_handled_after_engines_are_released() -> None:
    released = predictors("haoran-cnn", "openvino", "openvino")
    for predictor in released:
        predictor.predict(preprocess(jpeg(noisy=True, seed=1), predictor.spec.preprocessing))
    del predictor
    while released:
        del released[0]
        gc.collect()
    process = os.fork()
    if not process:
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
        signal.raise_signal(signal.SIGUSR1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@pytest.mark.usefixtures("small_backbones")
def test_commands_use_the_engine(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train = ["models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL]
    run_text(*train, *settings("weights="), "--engine", "openvino")
    assert read_spec(run).training["engine"].startswith("openvino 2")
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    predictions = {
        engine: run_json("models", "predict", run, photograph, "--engine", engine)[0] for engine in get_args(EngineName)
    }
    assert [prediction["engine"] for prediction in predictions.values()] == list(predictions)
    similar = [
        run_json("models", "similar", run, photograph, "--data", dataset.folder, "--engine", engine)
        for engine in ("torch", "openvino")
    ]
    assert [entry["file"] for entry in similar[0]] == [entry["file"] for entry in similar[1]]


def test_unusable_engines_are_one_sentence(
    dataset: Dataset, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["models", "train", "--data", dataset.folder, "--out", tmp_path / "run"]
    assert "runs on the CPU" in run_error(*train, "patches", "--device", "cuda", "--engine", "openvino")
    assert "--engine onnxruntime is for probes" in run_error(*train, "haoran-cnn", "--engine", "onnxruntime")
    assert "available: torch, openvino, onnxruntime" in run_error(*train, "patches", "--engine", "tensorrt")
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = "needs the package openvino: pip install 'lightmeter[openvino]'"
    assert message in run_error(*train, "patches", "--engine", "openvino")
    monkeypatch.setenv("LIGHTMETER_MODELS__ENGINE", "openvino")
    assert message in run_error("models", "predict", trained, "photograph.jpg")


def test_exported_files_give_the_probabilities_of_the_run(dataset: Dataset, tmp_path: Path) -> None:
    run = make_untrained_run(tmp_path / "small", "small-cnn", Preprocessing(patches=0, view_size=32))
    predictor = Predictor.load(run)
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    (expected,) = [target.probabilities for target in predictor.predict(photograph).predictions.values()]
    view = stack([predictor.preprocess(photograph)])["view"]
    for file_format, suffix in SUFFIXES.items():
        file = tmp_path / f"model{suffix}"
        document = run_json("models", "export", run, "--format", file_format, "--out", file)
        assert document["difference"] <= 1e-4
        probabilities, metadata = _OPENED[file_format](file, view)
        assert probabilities[0].tolist() == pytest.approx(list(expected.values()), abs=1e-4)
        assert json.loads(metadata["preprocessing"])["view_size"] == 32
        assert len(json.loads(metadata["example"])["probabilities"]["shutter"]) == 2


def _open_onnx(file: Path, view: Any) -> tuple[Any, dict[str, str]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    return session.run(["shutter"], {"view": view})[0], session.get_modelmeta().custom_metadata_map


def _open_openvino(file: Path, view: Any) -> tuple[Any, dict[str, str]]:
    import openvino

    with zipfile.ZipFile(file) as archive:
        archive.extractall(file.parent)
    model = openvino.Core().compile_model(file.parent / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model(view)[0], json.loads((file.parent / "metadata.json").read_text(encoding="utf-8"))


def _open_torch(file: Path, view: Any) -> tuple[Any, dict[str, str]]:
    metadata = dict.fromkeys(("preprocessing", "example"), "")
    program = torch.export.load(file, extra_files=metadata)
    return program.module()(torch.from_numpy(view))[0].detach().numpy(), metadata


_OPENED = {"onnx": _open_onnx, "openvino": _open_openvino, "torch": _open_torch}
