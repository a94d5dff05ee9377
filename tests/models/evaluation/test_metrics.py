"""Metrics of single-label and multilabel predictions, and their calibration."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from lightmeter.labels.datasets.dataset import read_dataset, write_dataset
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.models.evaluation.metrics.base import estimated_differences, estimates
from lightmeter.models.evaluation.metrics.calibration import (
    fit_multilabel_temperature,
    fit_temperature,
    reliability_curve,
)
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions
from lightmeter.models.evaluation.predictions import prediction_row
from lightmeter.models.evaluation.report import METRICS, metric_rows
from lightmeter.models.evaluation.split_metrics import split_metrics
from lightmeter.models.runtime.spec import Target
from tests.models.conftest import manifest


def class_predictions(count: int = 300, classes: int = 4, seed: int = 0) -> ClassPredictions:
    """Return predictions of which about two thirds are correct, in up to 20 groups."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    predicted = np.where(random.random(count) < 0.6, truth, random.integers(0, classes, count))
    return ClassPredictions(truth, predicted, random.integers(0, 20, count), classes)


def multilabel_predictions(count: int = 200, seed: int = 0) -> MultilabelPredictions:
    """Return predictions about three classes, with many equal probabilities, in 20 groups."""
    random = np.random.default_rng(seed)
    truth = random.random((count, 3)) < (0.1, 0.3, 0.5)
    probabilities = np.round((truth + random.random((count, 3))) / 2, 1)
    return MultilabelPredictions(truth, probabilities >= 0.5, probabilities, np.arange(count) % 20, probabilities)


def test_accuracy_is_exact_match() -> None:
    """23 one-hot outputs and a constant model: binary accuracy over the outputs would be 22/23 = 0.9565."""
    truth = np.arange(230) % 23
    constant = ClassPredictions(truth, np.zeros(230, np.int64), truth % 7, 23)
    metrics = estimates(constant)
    assert metrics["accuracy"]["value"] == pytest.approx(1 / 23)
    assert metrics["balanced_accuracy"]["value"] == pytest.approx(1 / 23)
    assert all(estimate["high"] is None or estimate["high"] < 0.5 for estimate in metrics.values())


def test_constant_model_scores_low_in_metrics_and_report(tmp_path: Path) -> None:
    """The same 23 classes through metrics.json and report: 95.7 % appears nowhere."""
    classes = tuple(f"f/{number}" for number in range(23))
    rows: list[dict[str, object]] = [
        {
            "sha256": f"{n:064}",
            "path": f"00/{n:064}",
            "split": SPLITS[n % 3],
            "group": f"{n % 7}",
            "label_aperture": classes[n % 23],
            "format": "JPEG",
            "width": 3,
            "height": 2,
        }
        for n in range(690)
    ]
    targets = (TargetSpec("aperture", "1", classes),)
    write_dataset(tmp_path / "data", DatasetSpec("data", "", "file:../store", targets), manifest(rows, targets))
    dataset = read_dataset(tmp_path / "data")
    target, logits = Target("aperture", classes), np.eye(23, dtype=np.float32)[0] * 9
    predictions = [prediction_row(row, target, logits) for row in dataset.rows("test")]
    scores = split_metrics(predictions, (target,), dataset, 0)["targets"]["aperture"]
    assert scores["accuracy"]["value"] == pytest.approx(1 / 23)
    text = json.dumps(metric_rows(scores)) + json.dumps({name: scores[name] for name in METRICS if name in scores})
    assert "95.7" not in text
    assert "0.956" not in text


def test_one_hot_predictions_raise_error() -> None:
    one_hot = np.eye(23, dtype=np.int64)
    with pytest.raises(ValueError, match="one class index per photograph"):
        ClassPredictions(one_hot, np.zeros_like(one_hot), np.arange(23), 23)
    with pytest.raises(ValueError, match="one class index per photograph"):
        ClassPredictions(np.zeros(23), np.zeros(23), np.arange(23), 23)  # type: ignore[arg-type]


def test_class_metrics_agree_with_scikit_learn() -> None:
    predictions = class_predictions()
    truth, predicted = predictions.truth, predictions.predicted
    metrics = estimates(predictions)
    assert metrics["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert predictions.confusion().sum() == 300


def test_multilabel_metrics_agree_with_scikit_learn() -> None:
    predictions = multilabel_predictions()
    truth, predicted, probabilities = predictions.truth, predictions.predicted, predictions.probabilities
    metrics = estimates(predictions)
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    expected = [average_precision_score(truth[:, c], probabilities[:, c]) for c in range(3)]
    assert metrics["mean_average_precision"]["value"] == pytest.approx(np.mean(expected))
    assert predictions.details()["average_precision_per_class"] == pytest.approx(expected)
    for name in ("macro_f1", "mean_average_precision"):
        low, value, high = (metrics[name][key] or 0.0 for key in ("low", "value", "high"))
        assert low < value < high


def test_multilabel_model_that_predicts_nothing_scores_low() -> None:
    """With one of 30 classes per photograph nearly all cells of the table are correct, yet every metric is near 0."""
    truth = np.eye(30, dtype=np.bool_)[np.arange(300) % 30]
    nothing = np.zeros_like(truth)
    metrics = estimates(MultilabelPredictions(truth, nothing, nothing.astype(np.float64), np.arange(300) % 10))
    assert set(metrics) == {"macro_f1", "mean_average_precision", "auc"}
    assert metrics["auc"]["value"] == 0.5
    assert metrics["macro_f1"]["value"] == 0.0
    assert metrics["mean_average_precision"]["value"] == pytest.approx(1 / 30)


@pytest.mark.parametrize("predictions", [class_predictions(20), multilabel_predictions(20)])
def test_copies_within_a_group_count_once(predictions: ClassPredictions | MultilabelPredictions) -> None:
    single = replace(predictions, groups=np.arange(20))
    copies = single.subset(np.repeat(np.arange(20), 50))
    for name, estimate in estimates(single).items():
        assert estimates(copies)[name] == pytest.approx(estimate)


def test_difference_of_equal_predictions_is_zero() -> None:
    predictions = class_predictions()
    differences = estimated_differences(predictions, predictions)
    assert differences["macro_f1"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_mean_absolute_error_is_in_stops() -> None:
    predictions = ClassPredictions(
        np.asarray([0, 0, 1, 1]),
        np.asarray([0, 0, 1, 0]),
        np.arange(4),
        2,
        true_stops=np.zeros(4),
        predicted_stops=np.asarray([0.0, -0.5, 1.0, 3.5]),
    )
    metrics = estimates(predictions)
    assert metrics["mae_stops"]["value"] == pytest.approx(1.25)
    assert metrics["within_one_stop"]["value"] == pytest.approx(0.75)


def test_adjacent_class_is_within_one_class() -> None:
    predictions = ClassPredictions(
        np.asarray([0, 0, 3, 3, 1]),
        np.asarray([1, 2, 3, 1, 0]),
        np.arange(5),
        4,
        true_stops=np.zeros(5),
        predicted_stops=np.zeros(5),
    )
    assert estimates(predictions)["within_one_class"]["value"] == pytest.approx(0.6)


def test_overconfident_model_has_calibration_error() -> None:
    truth = np.arange(1000) % 2
    predicted = np.where(np.arange(1000) < 700, truth, 1 - truth)
    predictions = ClassPredictions(truth, predicted, np.arange(1000) % 10, 2, np.tile([0.95, 0.05], (1000, 1)))
    assert estimates(predictions)["ece"]["value"] == pytest.approx(0.25)
    (only_bin,) = reliability_curve(np.full(1000, 0.95), truth == predicted)
    assert only_bin == {"photographs": 1000, "confidence": pytest.approx(0.95), "accuracy": 0.7}


def test_interval_of_the_calibration_error_of_a_calibrated_model_holds_zero() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        sure = random.uniform(0.5, 1, 200)
        truth = np.where(random.random(200) < sure, 0, 1)
        probabilities = np.stack([sure, 1 - sure], 1)
        ece = estimates(ClassPredictions(truth, np.zeros(200, np.int64), np.arange(200) // 20, 2, probabilities))["ece"]
        assert ece["low"] == 0
        assert 0 < ece["value"] <= ece["high"]


def test_temperature_corrects_scaled_logits() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (5000, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.asarray([random.choice(3, p=row) for row in probabilities])
    assert fit_temperature((logits * 3).astype(np.float32), truth) == pytest.approx(3, rel=0.1)


def test_multilabel_temperature_corrects_scaled_logits() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 3))
    truth = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    assert fit_multilabel_temperature((3 * logits).astype(np.float32), truth) == pytest.approx(3, rel=0.1)
