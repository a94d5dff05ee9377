"""Adversarial attacks, and the splits that an analysis may use."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from lightmeter.labels.datasets.dataset import Dataset
from tests.models.conftest import CNN, CONCEPT, make_dataset
from tests.support import run_error, run_json, run_text

pytestmark = pytest.mark.usefixtures("common_cache")


def test_attack_lowers_accuracy(run: Path, dataset: Dataset) -> None:
    result = run_json("models", "attack", run, "--data", dataset.folder, "--epsilons", "0,8", "--limit", "2")
    assert (result["photographs"], result["split"]) == (2, "validation")
    assert result["fgsm"][0] == result["pgd"][0] == 1.0
    assert result["pgd"][1] < 1.0
    assert (run / "plots" / "attack-validation-shutter.png").is_file()


def test_attack_changes_all_patches_of_a_grid(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_json(
        *("models", "train", "lebon-grid", "--data", dataset.folder, "--out", run),
        *("--set", "patches=64", "--set", "epochs=60", "--set", "patience=60", "--set", "batch_size=4"),
    )
    result = run_json("models", "attack", run, "--data", dataset.folder, "--epsilons", "0,64")
    assert result["fgsm"][0] > 0.8 > result["fgsm"][1]


def test_multilabel_target_cannot_be_attacked(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run = tmp_path / "run"
    run_text("models", "train", *CNN, "--set", "epochs=1", "--data", dataset.folder, "--out", run, "--quiet")
    assert "has several classes per photograph" in run_error("models", "attack", run, "--data", dataset.folder)


def test_invalid_epsilons_raise_error(run: Path, dataset: Dataset) -> None:
    assert "Invalid --epsilons 'low'" in run_error(
        "models", "attack", run, "--data", dataset.folder, "--epsilons", "low"
    )


def test_test_split_needs_evaluation_before_analysis(run: Path, dataset: Dataset) -> None:
    command = ["models", "attack", run, "--data", dataset.folder, "--epsilons", "0", "--limit", "2", "--split"]
    assert "models evaluate" in run_error(*command, "test")
    assert "'all'" in run_error(*command, "all")
    run_json("models", "evaluate", run, "--data", dataset.folder)
    assert run_json(*command, "test")["split"] == "test"


def test_validation_split_is_refused_after_refitting_on_it(dataset: Dataset, tmp_path: Path) -> None:
    patches = ["--set", "patches=2", "--set", "patch_size=64", "--set", "penalties=[1.0]"]
    scores = {}
    for name, folds in (("single", 0), ("refitted", 2)):
        command = ["models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / name, *patches]
        metrics = run_json(*command, "--set", f"folds={folds}")["metrics"]
        scores[name] = metrics["validation"]["targets"]["shutter"]
    assert scores["single"]["confusion_matrix"] == scores["refitted"]["confusion_matrix"]  # scored before refitting
    weights = [load_file(tmp_path / name / "model.safetensors")["heads.targets.shutter.weight"] for name in scores]
    assert not weights[0].equal(weights[1])

    command = ["models", "attack", tmp_path / "refitted", "--data", dataset.folder, "--epsilons", "0", "--limit", "2"]
    assert "validation" in run_error(*command)
    run_json("models", "evaluate", tmp_path / "refitted", "--data", dataset.folder)
    assert run_json(*command, "--split", "test")["split"] == "test"
