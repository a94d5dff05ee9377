"""Every recipe trains, is scored and predicts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import preprocess
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.models.training.recipe import names
from tests.support import run_error, run_json, run_text

from .conftest import MEDIUM, SHUTTER, TINY, history, jpeg, make_dataset


@pytest.mark.parametrize("recipe", names())
def test_each_recipe_gives_a_whole_run_that_evaluates_and_predicts(
    recipe: str, dataset: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    small = [*TINY[recipe], "--device", "cpu"]
    trained = run_json("models", "train", recipe, "--data", dataset.folder, "--out", run, *small)
    assert trained["metrics"]["validation"]["photographs"] == 12
    assert (run / "plots" / "training.png").is_file()
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    assert metrics["test"]["targets"]["shutter"]["accuracy"]["value"] is not None
    (answer,) = run_json("models", "predict", run, dataset.store / dataset.rows("test")[0]["path"])
    assert set(answer["predictions"]["shutter"]["probabilities"]) == {"fast", "slow"}
    assert not run.with_name("run.partial").exists()


def test_boosted_trees_tell_noise(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "both-v1", targets=(SHUTTER, MEDIUM))
    run_json("models", "train", "quality-features", "--data", dataset.folder, "--out", tmp_path / "run")
    metrics = run_json("models", "evaluate", tmp_path / "run", "--data", dataset.folder)["metrics"]
    assert metrics["test"]["targets"]["shutter"]["balanced_accuracy"]["value"] == 1.0
    assert metrics["test"]["targets"]["medium"]["balanced_accuracy"]["value"] == 1.0


def test_a_network_learns(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "view_size=64", "--set", "epochs=25", "--set", "patience=25", "--set", "batch_size=6"]
    run_json("models", "train", "haoran-cnn", "--data", dataset.folder, "--out", tmp_path / "run", *options)
    losses = [float(row["validation_loss"]) for row in history(tmp_path / "run")]
    assert min(losses) < 0.7 * losses[0]


def test_the_house_network_learns_several_targets_of_which_labels_are_missing(tmp_path: Path) -> None:
    """One trunk, a head a target; settings are told in stops, and a photograph counts where it has a label."""
    dataset = make_dataset(tmp_path / "data" / "both-v1", targets=(SHUTTER, MEDIUM))
    small = [*TINY["lightmeter-attention"][:-2], "--set", "epochs=12", "--set", "batch_size=6"]
    run = tmp_path / "run"
    run_json("models", "train", "lightmeter-attention", *small, "--data", dataset.folder, "--out", run)
    targets = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]["test"]["targets"]
    assert {name: target["photographs"] for name, target in targets.items()} == {"shutter": 12, "medium": 9}
    assert targets["shutter"]["mae_stops"]["value"] < targets["shutter"]["baselines"]["median"]["mae_stops"]["value"]
    assert targets["medium"]["balanced_accuracy"]["value"] > 0.8


@pytest.mark.parametrize("view", [[], ["--set", "view_backbone=", "--set", "view_weights="]], ids=["its own", "shared"])
def test_the_house_probe_regresses_on_stops_beside_softmax(tmp_path: Path, view: list[str]) -> None:
    dataset = make_dataset(tmp_path / "data" / "both-v1", targets=(MEDIUM, SHUTTER))
    run = tmp_path / "run"
    run_json("models", "train", "lightmeter", *TINY["lightmeter"], *view, "--data", dataset.folder, "--out", run)
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    assert set(metrics["training"]["penalties"]) == {"medium", "shutter"}
    assert set(metrics["training"]["random_intercept_variances"]) == {"shutter"}
    assert {row["target"] for row in history(run) if row["random_intercept_variance"]} == {"shutter"}
    targets = metrics["test"]["targets"]
    assert targets["medium"]["balanced_accuracy"]["value"] == 1.0
    stops = targets["shutter"]
    assert stops["mae_stops"]["value"] < stops["baselines"]["median"]["mae_stops"]["value"]


def test_informative_patches_are_the_smoothest_and_the_roughest() -> None:
    import io

    import numpy as np
    from PIL import Image

    picture = Image.open(io.BytesIO(jpeg(noisy=False, seed=2, size=(320, 240))))
    picture.paste(Image.open(io.BytesIO(jpeg(noisy=True, seed=3, size=(160, 120)))), (0, 0))
    picture.paste((0, 0, 0), (160, 120, 320, 240))
    content = io.BytesIO()
    picture.save(content, "PNG")
    settings = Preprocessing(patches=8, patch_size=32, patch_selection="informative")
    patches = preprocess(content.getvalue(), settings).inputs["patches"].astype(np.float64)
    rough = np.abs(np.diff(patches[:, 1], axis=2)).mean((1, 2))
    assert rough[:4].max() < 5
    assert rough[4:].min() > 15
    assert patches.mean((1, 2, 3)).min() >= 15


def test_a_network_that_cannot_be_built_is_said(dataset: Dataset, tmp_path: Path) -> None:
    options = ["--set", "weights=", "--set", "patch_size=32", "--data", dataset.folder, "--out", tmp_path / "run"]
    said = run_error("models", "train", "gupta-kannan", *options)
    assert "patches of 32 pixels are too small for this network; the minimum is 48" in said


@pytest.mark.parametrize("name", ["shutter", "shutter-binary", "frozen"])
def test_a_model_must_not_read_the_tag_that_its_labels_are_made_of(name: str, tmp_path: Path) -> None:
    """Whatever the target is called."""
    dataset = make_dataset(tmp_path / "data" / "noise-v1", targets=[replace(SHUTTER, name=name)])
    said = run_error("models", "train", "lederer-exif", "--data", dataset.folder, "--out", tmp_path / "run")
    assert f"reads the EXIF tag 'exposure_time', of which the labels of '{name}' are made" in said


def test_published_weights_load_from_a_file_and_are_checked(dataset: Dataset, tmp_path: Path) -> None:
    from lightmeter.models.architectures.mobilenet import MobileNetV2

    weights = tmp_path / "mobile.safetensors"
    state = {**MobileNetV2().state_dict(), "classifier.1.weight": torch.zeros(10, 1280)}
    save_file(state, weights)
    options = ["--data", dataset.folder, "--out", tmp_path / "run", "--device", "cpu"]
    tiny = [*TINY["haoran-mobilenet"][2:], "--set", f"weights={weights}"]
    said = run_error("models", "train", "haoran-mobilenet", *options, *tiny, "--set", f"weights_sha256={'0' * 64}")
    assert "another SHA-256 than expected" in said
    frozen = [*tiny[:-4], "--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]", *tiny[-2:]]
    run_text("models", "train", "haoran-mobilenet", *options, *frozen, "--quiet")
    trained = Predictor.load(tmp_path / "run").network.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trained.items())
    weights.write_bytes(b"junk")
    assert "holds no weights" in run_error(
        "models", "train", "haoran-mobilenet", "--data", dataset.folder, "--out", tmp_path / "x", *tiny
    )


def test_coloured_patches_leave_out_borders() -> None:
    import io

    from PIL import Image

    photograph = Image.open(io.BytesIO(jpeg(noisy=False, seed=2)))
    framed = Image.new("RGB", (360, 320), "white")
    framed.paste(photograph, (100, 100))
    content = io.BytesIO()
    framed.save(content, "PNG")
    cut = preprocess(content.getvalue(), Preprocessing(patches=64, patch_size=6, patch_selection="coloured"))
    colours = cut.inputs["patches"].reshape(64, 3, -1).mean(2)
    assert ((colours.max(1) - colours.min(1)) > 5).all()
