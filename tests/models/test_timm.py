"""Backbones of timm's, by name."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.predictor import Predictor
from tests.support import run_error, run_json, run_text

TINY = [
    "--set",
    "view_size=32",
    "--set",
    "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]",
    "--device",
    "cpu",
]
BACKBONE = "mobilenetv2_050"


@pytest.fixture(scope="module")
def timm() -> Any:
    """The package timm; where torchvision's compiled operators do not fit, their names are enough for it."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("timm")


def train(dataset: Dataset, run: Path, *settings: str, recipe: str = "lederer-image") -> list[object]:
    """Return the words that train on a backbone."""
    words = [word for setting in settings for word in ("--set", setting)]
    return ["models", "train", recipe, "--data", dataset.folder, "--out", run, *TINY, *words]


@pytest.mark.parametrize("backbone", [BACKBONE, "efficientnet_b0"])
def test_a_recipe_takes_a_backbone_by_name(timm: Any, backbone: str, dataset: Dataset, tmp_path: Path) -> None:
    run_json(*train(dataset, tmp_path / "run", f"backbone={backbone}", "weights="))
    photograph = dataset.store / dataset.rows("test")[0]["path"]
    (answer,) = run_json("models", "predict", tmp_path / "run", photograph)
    assert set(answer["predictions"]["shutter"]["probabilities"]) == {"fast", "slow"}


def test_its_weights_come_from_a_file(timm: Any, dataset: Dataset, tmp_path: Path) -> None:
    state = timm.create_model(BACKBONE, pretrained=False, num_classes=10).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    words = train(dataset, tmp_path / "run", f"backbone={BACKBONE}", f"weights={tmp_path / 'weights.safetensors'}")
    run_text(*words, "--quiet")
    trained = Predictor.load(tmp_path / "run").network.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trained.items())


def test_without_a_network_its_published_weights_are_missed_in_a_sentence(
    timm: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    said = run_error(*train(dataset, tmp_path / "run", f"backbone={BACKBONE}", "weights=timm"), "--quiet", code=1)
    assert f"timm's weights of {BACKBONE} cannot be fetched" in said
    assert "--set weights=PATH" in said
    assert "Traceback" not in said


def test_wrong_names_are_said(timm: Any, dataset: Dataset, tmp_path: Path) -> None:
    said = run_error(*train(dataset, tmp_path / "run", "backbone=mobilenet_v9", "weights="))
    assert "timm has no backbone 'mobilenet_v9'; did you mean mobilenet" in said
    said = run_error(*train(dataset, tmp_path / "run", "weights=timm"))
    assert "Only timm's backbones have weights of timm's" in said


def test_without_timm_a_sentence_says_what_is_missing(
    timm: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run_text(*train(dataset, run, f"backbone={BACKBONE}", "weights="), "--quiet")
    monkeypatch.setitem(sys.modules, "timm", None)
    photograph = dataset.store / dataset.rows("test")[0]["path"]
    assert f"the backbone '{BACKBONE}' needs timm: pip install 'lightmeter[timm]'" in run_error(
        "models", "predict", run, photograph
    )
    assert "needs timm" in run_error(*train(dataset, tmp_path / "other", f"backbone={BACKBONE}", "weights="))
