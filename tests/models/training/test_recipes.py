"""Every recipe trains, is evaluated and predicts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.training.recipe import list_recipes
from tests.models.conftest import MEDIUM, SHUTTER, TINY, history, make_dataset, settings
from tests.support import run_error, run_json

pytestmark = pytest.mark.usefixtures("small_backbones")

OTHERS = ("lightmeter", "lightmeter-attention", "patches")
"""Recipes with tests of their own, which train long enough to learn; `trained` is a run of the last."""


def train_evaluate_predict(recipe: str, dataset: Dataset, run: Path, *changes: str) -> Any:
    """Train with few settings, evaluate, predict a photograph and return the metrics."""
    options = [*TINY[recipe], *settings(*changes), "--device", "cpu"]
    training = run_json("models", "train", recipe, "--data", dataset.folder, "--out", run, *options)
    assert training["metrics"]["validation"]["photographs"] == 12
    assert (run / "plots" / "training.png").is_file()
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    (result,) = run_json("models", "predict", run, dataset.store.root / dataset.rows("test")[0]["path"])
    assert set(result["predictions"]["shutter"]["probabilities"]) == {"fast", "slow"}
    assert not run.with_name("run.partial").exists()
    return metrics


@pytest.mark.parametrize("recipe", sorted({*list_recipes()} - {*OTHERS}))
def test_recipe_trains_evaluates_and_predicts(recipe: str, dataset: Dataset, tmp_path: Path) -> None:
    metrics = train_evaluate_predict(recipe, dataset, tmp_path / "run")
    assert metrics["test"]["targets"]["shutter"]["accuracy"]["value"] is not None


def test_boosted_trees_learn_noise(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "both-v1", targets=(SHUTTER, MEDIUM))
    run_json("models", "train", "quality-features", "--data", dataset.folder, "--out", tmp_path / "run")
    metrics = run_json("models", "evaluate", tmp_path / "run", "--data", dataset.folder)["metrics"]
    assert metrics["test"]["targets"]["shutter"]["balanced_accuracy"]["value"] == 1.0
    assert metrics["test"]["targets"]["medium"]["balanced_accuracy"]["value"] == 1.0


def test_network_reduces_its_validation_loss(dataset: Dataset, tmp_path: Path) -> None:
    options = settings("view_size=64", "epochs=25", "patience=25", "batch_size=6")
    run_json("models", "train", "haoran-cnn", "--data", dataset.folder, "--out", tmp_path / "run", *options)
    losses = [float(row["validation_loss"]) for row in history(tmp_path / "run")]
    assert min(losses) < 0.7 * losses[0]


def test_attention_network_learns_two_targets_with_missing_labels(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data" / "both-v1", targets=(SHUTTER, MEDIUM))
    changes = ("patches=4", "patch_size=64", "view_size=64", "epochs=12", "batch_size=6")
    metrics = train_evaluate_predict("lightmeter-attention", dataset, tmp_path / "run", *changes)
    targets = metrics["test"]["targets"]
    assert {name: target["photographs"] for name, target in targets.items()} == {"shutter": 12, "medium": 9}
    shutter = targets["shutter"]
    assert shutter["mae_stops"]["value"] < shutter["baselines"]["median"]["mae_stops"]["value"]
    assert targets["medium"]["balanced_accuracy"]["value"] > 0.8


@pytest.mark.parametrize("changes", [(), ("view_backbone=",)], ids=["separate backbones", "shared backbone"])
def test_lightmeter_recipe_combines_regression_and_softmax(tmp_path: Path, changes: tuple[str, ...]) -> None:
    dataset = make_dataset(tmp_path / "data" / "both-v1", targets=(MEDIUM, SHUTTER))
    metrics = train_evaluate_predict("lightmeter", dataset, run := tmp_path / "run", *changes)
    assert set(metrics["training"]["penalties"]) == {"medium", "shutter"}
    assert set(metrics["training"]["random_intercept_variances"]) == {"shutter"}
    assert {row["target"] for row in history(run) if row["random_intercept_variance"]} == {"shutter"}
    targets = metrics["test"]["targets"]
    assert targets["medium"]["balanced_accuracy"]["value"] > 0.8
    shutter = targets["shutter"]
    assert shutter["mae_stops"]["value"] < shutter["baselines"]["median"]["mae_stops"]["value"]


@pytest.mark.parametrize("name", ["shutter", "shutter-binary", "frozen"])
def test_exif_tag_that_determines_the_labels_is_rejected(name: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data" / "noise-v1", targets=[replace(SHUTTER, name=name)])
    error = run_error("models", "train", "lederer-exif", "--data", dataset.folder, "--out", tmp_path / "run")
    assert f"uses the EXIF tag 'exposure_time', which determines the labels of '{name}'" in error
