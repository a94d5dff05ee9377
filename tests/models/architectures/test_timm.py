"""Backbones of timm."""

import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lightmeter.errors import LightmeterError
from lightmeter.files import sha256_of
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.architectures.backbones import build_backbone
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.pretrained import load_backbone
from lightmeter.web import free_port
from tests.models.conftest import FROZEN_EPOCH, settings
from tests.support import run_error, run_json, run_text

BACKBONE = "mobilenetv2_050"


@pytest.fixture(scope="module")
def timm() -> Any:
    """The module timm, which needs the names of torchvision's operators even if these cannot be loaded."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("timm")


def train_command(dataset: Dataset, run: Path, *changes: str) -> list[object]:
    """Return the command line that trains with changed settings."""
    options = [*settings("view_size=32", FROZEN_EPOCH, *changes), "--device", "cpu"]
    return ["models", "train", "lederer-image", "--data", dataset.folder, "--out", run, *options]


def test_timm_backbone_trains_and_predicts_and_needs_timm(
    timm: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(*train_command(dataset, tmp_path / "run", f"backbone={BACKBONE}", "weights="))
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    (result,) = run_json("models", "predict", tmp_path / "run", photograph)
    assert set(result["predictions"]["shutter"]["probabilities"]) == {"fast", "slow"}
    monkeypatch.setitem(sys.modules, "timm", None)
    error = run_error("models", "predict", tmp_path / "run", photograph)
    assert f"the backbone '{BACKBONE}' needs timm: pip install 'lightmeter[timm]'" in error
    other = train_command(dataset, tmp_path / "other", f"backbone={BACKBONE}", "weights=")
    assert "needs timm" in run_error(*other)


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t",
        "efficientnet_b0",
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_035",
        "lcnet_035",
        "convnext_atto",
        "vit_tiny_patch16_224",
        "ghostnet_050",
        "hgnetv2_b0",
        "inception_next_atto",
        "efficientvit_b0",
        "levit_128s",
        "mixer_s32_224",
    ],
)
def test_backbones_of_any_family_give_features_of_the_stated_width(timm: Any, name: str) -> None:
    """The last two take images of 224 pixels alone; the width of most is not their ``num_features``."""
    backbone, width = build_backbone(name)
    with torch.inference_mode():
        for size in (64, 128):
            assert backbone.eval()(torch.zeros(1, 3, size, size)).shape == (1, width)
    with torch.device("meta"):
        assert set(backbone.state_dict()) == set(timm.create_model(name, num_classes=0).state_dict())


def test_weights_come_from_the_hugging_face_cache(timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    network = torch.nn.ModuleDict({"backbone": build_backbone(BACKBONE)[0]})
    with pytest.raises(LightmeterError, match="Cannot load the weights hf-hub:someone/net"):
        load_backbone(network, "hf-hub:someone/net")
    repository = tmp_path / "models--someone--net"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    file = snapshot / "model.safetensors"
    save_file(timm.create_model(BACKBONE, num_classes=10).state_dict(), file)
    assert load_backbone(network, "hf-hub:someone/net") == sha256_of(file)
    with pytest.raises(LightmeterError, match="another SHA-256"):
        load_backbone(network, "hf-hub:someone/net", "0" * 64)


def test_timm_backbone_loads_weights_of_a_file(timm: Any, dataset: Dataset, tmp_path: Path) -> None:
    state = timm.create_model(BACKBONE, pretrained=False, num_classes=10).state_dict()
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    run_text(*train_command(dataset, tmp_path / "run", f"backbone={BACKBONE}", f"weights={file}"), "--quiet")
    trained = Predictor.load(tmp_path / "run").network.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trained.items())
    facts = tomllib.loads((tmp_path / "run" / "model.toml").read_text())["training"]
    assert facts["weights_sha256"] == {"backbone": sha256_of(file)}


def test_missing_network_connection_raises_error(
    timm: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    command = train_command(dataset, tmp_path / "run", f"backbone={BACKBONE}", "weights=timm")
    started = time.monotonic()
    error = run_error(*command, "--quiet", code=1)
    assert time.monotonic() - started < 20  # the client of the hub alone tries again for a minute
    assert f"Cannot load timm's weights of {BACKBONE}" in error
    assert "cannot be reached, and" in error
    assert "--set weights=PATH" in error
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_unknown_backbone_raises_error(timm: Any, dataset: Dataset, tmp_path: Path) -> None:
    error = run_error(*train_command(dataset, tmp_path / "run", "backbone=mobilenet_v9", "weights="))
    assert "timm has no backbone 'mobilenet_v9'; use one of these with --set backbone=NAME: mobilenet" in error
    error = run_error(*train_command(dataset, tmp_path / "run", f"backbone={BACKBONE}.nope", "weights=timm"))
    assert f"--set backbone=NAME: {BACKBONE}.lamb_in1k" in error
    error = run_error(*train_command(dataset, tmp_path / "run", "weights=timm"))
    assert "weights=timm needs a timm backbone" in error
    error = run_error(*train_command(dataset, tmp_path / "run", f"backbone={BACKBONE}"), code=1)
    assert "use --set weights=timm" in error
