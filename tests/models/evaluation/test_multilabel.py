"""Targets with several classes per photograph, from training to comparison."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.models.conftest import CONCEPT, SHUTTER, SMALL, make_dataset
from tests.support import run_error, run_json, run_text

RECIPES = {
    "patches": SMALL,
    "quality-features": ["--set", "iterations=20"],
    "haoran-cnn": ["--set", "view_size=32", "--set", "epochs=2"],
}


def undocumented_keys(metrics: dict[str, Any]) -> set[str]:
    """Return the keys of ``metrics.json`` that its documentation lacks, without class names and the like."""
    names = {"shutter", "concept", "folder", "Nikon D750", *SHUTTER.classes, *CONCEPT.classes}
    names |= {f"concept {name}" for name in CONCEPT.classes}
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    return keys_of(metrics) - names - set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def keys_of(value: object) -> set[str]:
    """Return the keys of all objects within a JSON document."""
    if isinstance(value, dict):
        return set(value).union(*(keys_of(part) for part in value.values()))
    return set().union(*(keys_of(part) for part in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_predict_all_probable_classes(recipe: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(SHUTTER, CONCEPT))
    run = tmp_path / "run"
    options = ["--data", dataset.folder, "--out", run, *RECIPES[recipe]]
    metrics = run_json("models", "train", recipe, *options)["metrics"]
    assert metrics["validation"]["targets"]["concept"]["photographs"] == 10
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    assert undocumented_keys(metrics) == set()
    scores = metrics["test"]["targets"]["concept"]
    assert not {"accuracy", "balanced_accuracy", "confusion_matrix"} & set(scores)
    assert scores["baselines"]["all positive"]["macro_f1"]["value"] > 0
    assert scores["classes"] == ["grain", "dawn", "calm"]
    assert len(scores["f1_per_class"]) == len(scores["average_precision_per_class"]) == 3
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    (entry,) = run_json("models", "predict", run, photograph)
    concept, shutter = entry["predictions"]["concept"], entry["predictions"]["shutter"]
    assert concept["classes"] == [name for name, value in concept["probabilities"].items() if value >= 0.5]
    assert "class" not in concept
    assert "class" in shutter
    run_text("models", "predict", run, photograph)
    assert {path.name for path in (run / "plots").glob("test-concept-*")} >= {
        "test-concept-classes.png",
        "test-concept-reliability.png",
    }


def test_visible_classes_are_learned(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    metrics = run_json("models", "evaluate", tmp_path / "run", "--data", dataset.folder)["metrics"]["test"]
    scores = metrics["targets"]["concept"]
    precision = dict(zip(scores["classes"], scores["average_precision_per_class"], strict=True))
    assert precision["grain"] == precision["calm"] == 1.0
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert {"grain", "calm", "grain|dawn", "dawn|calm"} >= {row["truth"] for row in rows}


def test_multilabel_runs_are_compared(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    runs = []
    for seed in (0, 1):
        runs.append(tmp_path / f"run{seed}")
        options = ["--data", dataset.folder, "--out", runs[-1], "--seed", seed, *RECIPES["haoran-cnn"]]
        run_json("models", "train", "haoran-cnn", *options)
    targets = run_json("models", "compare", *runs, "--split", "validation")["targets"]
    assert set(targets["concept"]["runs"]["run1"]["difference"]) >= {"macro_f1", "mean_average_precision"}


def test_damaged_specs_raise_error(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run = tmp_path / "run"
    run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL, "--quiet")
    spec = (run / "model.toml").read_text()
    photograph = next(dataset.store.root.glob("*/*"))
    (run / "model.toml").write_text(spec.replace("multilabel = true", 'multilabel = "yes"'))
    assert "multilabel must be" in run_error("models", "predict", run, photograph)
    assert json.loads((run / "metrics.json").read_text())["format"] == 1
