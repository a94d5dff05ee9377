"""Targets with several classes per photograph, from training to comparison."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lightmeter.labels.datasets.dataset import Dataset
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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set with an ordinal and a multilabel target."""
    return make_dataset(tmp_path_factory.mktemp("data") / "concepts-v1", targets=(SHUTTER, CONCEPT))


@pytest.fixture(scope="module")
def run_of(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the evaluated run of one of `RECIPES`; it must not be changed."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def run_of(recipe: str) -> Path:
        run_json("models", "train", recipe, "--data", dataset.folder, "--out", folder / recipe, *RECIPES[recipe])
        run_json("models", "evaluate", folder / recipe, "--data", dataset.folder)
        return folder / recipe

    return run_of


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_predict_all_probable_classes(recipe: str, dataset: Dataset, run_of: Callable[[str], Path]) -> None:
    run = run_of(recipe)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]["targets"]["concept"]["photographs"] == 10
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


def test_visible_classes_are_learned(run_of: Callable[[str], Path]) -> None:
    scores = json.loads((run_of("patches") / "metrics.json").read_text())["test"]["targets"]["concept"]
    precision = dict(zip(scores["classes"], scores["average_precision_per_class"], strict=True))
    assert precision["grain"] == precision["calm"] == 1.0
    rows = pq.read_table(run_of("patches") / "predictions.parquet").to_pylist()
    truths = {row["truth"] for row in rows if row["target"] == "concept"}
    assert {"grain", "calm", "grain|dawn", "dawn|calm"} >= truths > set()


def test_multilabel_runs_are_compared(dataset: Dataset, run_of: Callable[[str], Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    options = ["--data", dataset.folder, "--out", other, "--seed", 1, *RECIPES["haoran-cnn"]]
    run_json("models", "train", "haoran-cnn", *options)
    targets = run_json("models", "compare", run_of("haoran-cnn"), other, "--split", "validation")["targets"]
    assert set(targets["concept"]["runs"]["other"]["difference"]) >= {"macro_f1", "mean_average_precision"}


def test_damaged_specs_raise_error(dataset: Dataset, run_of: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_of("patches"), tmp_path / "run"))
    spec = (run / "model.toml").read_text()
    photograph = next(dataset.store.root.glob("*/*"))
    (run / "model.toml").write_text(spec.replace("multilabel = true", 'multilabel = "yes"'))
    assert "multilabel must be" in run_error("models", "predict", run, photograph)
    assert json.loads((run / "metrics.json").read_text())["format"] == 1
