"""Photographs that can have several classes at once."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, f1_score

from lightmeter.bootstrap import bootstrap
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions, fit_multilabel_temperature
from tests.support import run_error, run_json, run_text

from .conftest import CONCEPT, SHUTTER, SMALL, make_dataset

RECIPES = {
    "patches": SMALL,
    "quality-features": ["--set", "iterations=20"],
    "haoran-cnn": ["--set", "view_size=32", "--set", "epochs=2"],
}


def answers(count: int = 200, seed: int = 0) -> MultilabelPredictions:
    random = np.random.default_rng(seed)
    truth = random.random((count, 3)) < (0.1, 0.3, 0.5)
    shares = np.round((truth + random.random((count, 3))) / 2, 1)  # rounded: many are alike
    return MultilabelPredictions(truth, shares >= 0.5, shares, np.arange(count) % 20, shares)


def test_figures_agree_with_scikit_learn() -> None:
    some = answers()
    found = bootstrap(some)
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(some.truth, some.predicted, average="macro"))
    expected = np.mean([average_precision_score(some.truth[:, c], some.probabilities[:, c]) for c in range(3)])
    assert found["mean_average_precision"]["value"] == pytest.approx(expected)
    for name in ("macro_f1", "mean_average_precision"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_a_model_that_always_says_no_is_worth_nothing() -> None:
    """Of 30 classes a photograph has one: nearly all cells of the table are right, and every figure is near zero."""
    truth = np.eye(30, dtype=np.bool_)[np.arange(300) % 30]
    never = np.zeros_like(truth)
    found = bootstrap(MultilabelPredictions(truth, never, never.astype(np.float64), np.arange(300) % 10))
    assert set(found) == {"macro_f1", "mean_average_precision"}
    assert found["macro_f1"]["value"] == 0.0
    assert found["mean_average_precision"]["value"] == pytest.approx(1 / 30)


def test_photographs_of_one_group_count_once() -> None:
    some = answers(20)
    copies = MultilabelPredictions(
        *(np.repeat(values, 50, 0) for values in (some.truth, some.predicted, some.probabilities)),
        np.repeat(np.arange(20), 50),
    )
    alone = MultilabelPredictions(some.truth, some.predicted, some.probabilities, np.arange(20))
    for name, figure in bootstrap(alone).items():
        assert bootstrap(copies)[name] == pytest.approx(figure)


def test_temperature_undoes_a_scale() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 3))
    truth = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    assert fit_multilabel_temperature((3 * logits).astype(np.float32), truth) == pytest.approx(3, rel=0.1)


def undocumented(metrics: dict[str, Any]) -> set[str]:
    """Return the keys of ``metrics.json`` that its documentation lacks; names of classes and the like are no keys."""
    own = {"shutter", "concept", "folder", "Nikon D750", *SHUTTER.classes, *CONCEPT.classes}
    own |= {f"concept {name}" for name in CONCEPT.classes}
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    return _keys(metrics) - own - set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def _keys(value: object) -> set[str]:
    """Return the keys of all objects within a document."""
    if isinstance(value, dict):
        return set(value).union(*(_keys(part) for part in value.values()))
    return set().union(*(_keys(part) for part in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_answer_with_all_classes_that_are_probable(recipe: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(SHUTTER, CONCEPT))
    run = tmp_path / "run"
    options = ["--data", dataset.folder, "--out", run, *RECIPES[recipe]]
    metrics = run_json("models", "train", recipe, *options)["metrics"]
    assert metrics["validation"]["targets"]["concept"]["photographs"] == 10
    metrics = run_json("models", "evaluate", run, "--data", dataset.folder)["metrics"]
    assert undocumented(metrics) == set()
    scored = metrics["test"]["targets"]["concept"]
    assert not {"accuracy", "balanced_accuracy", "confusion"} & set(scored)
    assert scored["baselines"]["constant"]["macro_f1"]["value"] > 0
    assert list(scored["by_class"]) == ["grain", "dawn", "calm"]
    (answer,) = run_json("models", "predict", run, dataset.store / dataset.rows("test")[0]["path"])
    concept, shutter = answer["predictions"]["concept"], answer["predictions"]["shutter"]
    assert concept["classes"] == [name for name, share in concept["probabilities"].items() if share >= 0.5]
    assert "class" not in concept
    assert "class" in shutter
    run_text("models", "predict", run, dataset.store / dataset.rows("test")[0]["path"])
    assert {path.name for path in (run / "plots").glob("test-concept-*")} >= {
        "test-concept-classes.png",
        "test-concept-reliability.png",
    }


def test_what_can_be_seen_is_found(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run_json("models", "train", "patches", "--data", dataset.folder, "--out", tmp_path / "run", *SMALL)
    scored = run_json("models", "evaluate", tmp_path / "run", "--data", dataset.folder)["metrics"]["test"]
    by_class = scored["targets"]["concept"]["by_class"]
    assert by_class["grain"]["average_precision"] == by_class["calm"]["average_precision"] == 1.0
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert {"grain", "calm", "grain|dawn", "dawn|calm"} >= {row["truth"] for row in rows}


def test_runs_are_compared_by_their_f1(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    runs = []
    for seed in (0, 1):
        runs.append(tmp_path / f"run{seed}")
        options = ["--data", dataset.folder, "--out", runs[-1], "--seed", seed, *RECIPES["haoran-cnn"]]
        run_json("models", "train", "haoran-cnn", *options)
    found = run_json("models", "compare", *runs, "--split", "validation")["targets"]["concept"]["runs"]
    assert set(found["run1"]["difference"]) >= {"macro_f1", "mean_average_precision"}


def test_attacks_are_for_one_class_a_photograph(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run = tmp_path / "run"
    run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL, "--quiet")
    assert "has several classes a photograph" in run_error("models", "attack", run, "--data", dataset.folder)


def test_damaged_specs_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,))
    run = tmp_path / "run"
    run_text("models", "train", "patches", "--data", dataset.folder, "--out", run, *SMALL, "--quiet")
    spec = (run / "model.toml").read_text()
    photograph = next(dataset.store.iterdir())
    (run / "model.toml").write_text(spec.replace("multiple = true", 'multiple = "yes"'))
    assert "multiple must be true or false" in run_error("models", "predict", run, photograph)
    assert json.loads((run / "metrics.json").read_text())["format"] == 1


def test_lederers_three_are_compared_in_one_report(tmp_path: Path) -> None:
    """Differences of macro F1 and of training time, from the picture alone to tags and fusion."""
    dataset = make_dataset(tmp_path / "concepts-v1", targets=(CONCEPT,), exif=True)
    tags, view = ["--set", "exif=['iso', 'f_number']"], ["--set", "view_size=32"]
    short = ["--set", "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]"]
    settings = {
        "lederer-image": [*view, *short],
        "lederer-exif": [*tags, "--set", "epochs=2"],
        "lederer-fusion": [*tags, *view, *short],
    }
    for recipe, options in settings.items():
        out = ["--data", dataset.folder, "--out", tmp_path / recipe, "--device", "cpu"]
        run_json("models", "train", recipe, *out, *options)
        run_json("models", "evaluate", tmp_path / recipe, "--data", dataset.folder)
    page = tmp_path / "comparison.html"
    found = run_json("models", "compare", *(tmp_path / recipe for recipe in settings), "--out", page)
    runs = found["targets"]["concept"]["runs"]
    assert list(runs) == list(settings)
    for name in ("lederer-exif", "lederer-fusion"):
        assert set(runs[name]["difference"]["macro_f1"]) == {"value", "low", "high"}
        expected = 100 * (runs[name]["seconds"] / runs["lederer-image"]["seconds"] - 1)
        assert runs[name]["seconds_difference_percent"] == pytest.approx(expected)
    text = page.read_text()
    assert "macro F1" in text
    assert "training, seconds" in text
