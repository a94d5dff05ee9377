"""Figures that cannot fool."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from lightmeter.bootstrap import bootstrap, format_estimate, group_numbers, reliability
from lightmeter.labels.datasets.dataset import SPLITS, DatasetSpec, TargetSpec, read_dataset, write_dataset
from lightmeter.models.evaluation.metrics.classification import ClassPredictions, confusion, fit_temperature
from lightmeter.models.evaluation.metrics.scoring import score
from lightmeter.models.evaluation.predictions import prediction_row
from lightmeter.models.evaluation.report import FIGURES, figure_rows
from lightmeter.models.runtime.spec import Target

from .conftest import manifest


def draw(count: int = 300, classes: int = 4, seed: int = 0) -> ClassPredictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    predicted = np.where(rng.random(count) < 0.6, truth, rng.integers(0, classes, count))
    return ClassPredictions(truth, predicted, rng.integers(0, 20, count), classes)


def test_accuracy_is_exact_match() -> None:
    """23 one-hot outputs, a constant model: binary accuracy over outputs would be 22/23 = 0.9565."""
    truth = np.arange(230) % 23
    constant = ClassPredictions(truth, np.zeros(230, np.int64), truth % 7, 23)
    found = bootstrap(constant)
    assert found["accuracy"]["value"] == pytest.approx(1 / 23)
    assert found["balanced_accuracy"]["value"] == pytest.approx(1 / 23)
    assert all(figure["high"] is None or figure["high"] < 0.2 for figure in found.values())


def test_a_model_that_always_says_the_same_cannot_look_good(tmp_path: Path) -> None:
    """The same 23 classes, through everything that is written of a run: 95.7 % stands nowhere."""
    classes = tuple(f"f/{number}" for number in range(23))
    target = TargetSpec("aperture", "1", classes)
    rows: list[dict[str, object]] = [
        {
            "sha256": f"{n:03}",
            "path": "",
            "split": SPLITS[n % 3],
            "group": f"{n % 7}",
            "label_aperture": classes[n % 23],
        }
        for n in range(690)
    ]
    write_dataset(tmp_path / "data", DatasetSpec("data", "", ".", (target,)), manifest(rows, (target,)))
    dataset = read_dataset(tmp_path / "data")
    said, logits = Target("aperture", classes), np.eye(23, dtype=np.float32)[0] * 9
    constant = [prediction_row(row, said, logits) for row in dataset.rows("test")]
    scored = score(constant, (said,), dataset, 0)["targets"]["aperture"]
    assert scored["accuracy"]["value"] == pytest.approx(1 / 23)
    told = json.dumps(figure_rows(scored)) + json.dumps({name: scored[name] for name in FIGURES if name in scored})
    assert "95.7" not in told
    assert "0.956" not in told


def test_one_hot_answers_are_refused() -> None:
    one_hot = np.eye(23, dtype=np.int64)
    with pytest.raises(ValueError, match="one class index a photograph"):
        ClassPredictions(one_hot, np.zeros_like(one_hot), np.arange(23), 23)
    with pytest.raises(ValueError, match="one class index a photograph"):
        ClassPredictions(np.zeros(23), np.zeros(23), np.arange(23), 23)  # type: ignore[arg-type]


def test_figures_agree_with_scikit_learn() -> None:
    answers = draw()
    found = bootstrap(answers)
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(answers.truth, answers.predicted)
    )
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(answers.truth, answers.predicted, average="macro"))
    assert confusion(answers).sum() == 300


def test_intervals_are_drawn_over_groups() -> None:
    """Photographs of one group that are all alike count once, not a hundred times."""
    answers = draw(40)
    copies = ClassPredictions(
        *(np.repeat(values, 100) for values in (answers.truth, answers.predicted)), np.repeat(np.arange(40), 100), 4
    )
    alone = ClassPredictions(answers.truth, answers.predicted, np.arange(40), 4)
    for name in ("accuracy", "balanced_accuracy"):
        assert bootstrap(copies)[name] == pytest.approx(bootstrap(alone)[name])


def test_one_group_gives_no_interval() -> None:
    answers = draw()
    found = bootstrap(ClassPredictions(answers.truth, answers.predicted, np.zeros_like(answers.truth), 4))
    assert found["accuracy"]["low"] is None
    assert format_estimate(found["accuracy"]).endswith("%")


def test_error_in_stops() -> None:
    error = np.asarray([0.0, 0.5, 1.0, 3.5])
    answers = ClassPredictions(np.asarray([0, 0, 1, 1]), np.asarray([0, 0, 1, 0]), np.arange(4), 2, error_stops=error)
    found = bootstrap(answers)
    assert found["error_stops"]["value"] == pytest.approx(1.25)
    assert found["within_one_stop"]["value"] == pytest.approx(0.75)


def test_a_class_beside_the_true_one_is_one_off() -> None:
    answers = ClassPredictions(
        np.asarray([0, 0, 3, 3, 1]), np.asarray([1, 2, 3, 1, 0]), np.arange(5), 4, error_stops=np.zeros(5)
    )
    assert bootstrap(answers)["within_one_class"]["value"] == pytest.approx(0.6)


def test_calibration_error_of_a_model_that_is_too_sure() -> None:
    truth = np.arange(1000) % 2
    predicted = np.where(np.arange(1000) < 700, truth, 1 - truth)
    sure = ClassPredictions(truth, predicted, np.arange(1000) % 10, 2, confidence=np.full(1000, 0.95))
    assert bootstrap(sure)["ece"]["value"] == pytest.approx(0.25)
    (only,) = reliability(np.full(1000, 0.95), truth == predicted)
    assert only == {"photographs": 1000, "confidence": pytest.approx(0.95), "accuracy": 0.7}


def test_temperature_undoes_a_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (5000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.asarray([rng.choice(3, p=share) for share in shares])
    assert fit_temperature((logits * 3).astype(np.float32), truth) == pytest.approx(3, rel=0.1)


def test_groups_get_numbers() -> None:
    assert group_numbers(["b", "a", "b"]).tolist() == [1, 0, 1]
