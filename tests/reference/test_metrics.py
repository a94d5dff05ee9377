"""Metrics of models against scikit-learn and torchmetrics, on random predictions."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import optimize
from sklearn import metrics as sk

from lightmeter.models.evaluation.metrics.base import estimates
from lightmeter.models.evaluation.metrics.calibration import fit_temperature
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.evaluation.metrics.multilabel import MultilabelPredictions

COUNT = 400


def random_probabilities(seed: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return true classes, and probabilities with ties that favour them."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, COUNT)
    scores = random.normal(size=(COUNT, classes)) + np.eye(classes)[truth]
    probabilities = np.exp(scores.round(1))
    return truth, probabilities / probabilities.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_classes_agree_with_scikit_learn(seed: int, classes: int) -> None:
    truth, probabilities = random_probabilities(seed, classes)
    predicted = probabilities.argmax(1)
    predictions = ClassPredictions(
        truth, predicted, np.arange(COUNT) % 7, classes, probabilities, uncalibrated_confidence=probabilities.max(1)
    )
    values = {name: estimate["value"] for name, estimate in estimates(predictions).items()}
    one_hot = np.eye(classes, dtype=int)[truth]
    assert values == pytest.approx(
        {
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
            "macro_f1": sk.f1_score(truth, predicted, average="macro"),
            "auc": sk.roc_auc_score(one_hot, probabilities, average="macro"),
            "log_loss": sk.log_loss(truth, probabilities),
            "ece": values["ece"],
            "ece_uncalibrated": values["ece"],
        },
        abs=1e-12,
    )
    assert predictions.confusion().tolist() == sk.confusion_matrix(truth, predicted).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_several_classes_agree_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random((COUNT, 4)) < (0.1, 0.3, 0.5, 0.7)
    probabilities = ((truth + random.random((COUNT, 4))) / 2).round(1).clip(0.05, 0.95)
    predicted = probabilities >= 0.5
    predictions = MultilabelPredictions(truth, predicted, probabilities, np.arange(COUNT) % 30, probabilities)
    values = {name: estimate["value"] for name, estimate in estimates(predictions).items()}
    assert values["macro_f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"), abs=1e-12)
    assert values["mean_average_precision"] == pytest.approx(
        sk.average_precision_score(truth, probabilities), abs=1e-12
    )
    assert values["auc"] == pytest.approx(sk.roc_auc_score(truth, probabilities), abs=1e-12)
    losses = [sk.log_loss(truth[:, index], probabilities[:, index]) for index in range(4)]
    assert values["log_loss"] == pytest.approx(np.mean(losses), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_agrees_with_torchmetrics(seed: int, torchmetrics: Any) -> None:
    truth, probabilities = random_probabilities(seed, 3)
    predictions = ClassPredictions(truth, probabilities.argmax(1), np.arange(COUNT) % 7, 3, probabilities)
    expected = torchmetrics.functional.classification.multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(truth), num_classes=3, n_bins=10, norm="l1"
    )
    assert estimates(predictions)["ece"]["value"] == pytest.approx(float(expected), abs=1e-6)


@pytest.fixture
def torchmetrics() -> Any:
    """The module torchmetrics, which needs the names of torchvision's operators even if these cannot be loaded."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("torchmetrics")


@pytest.mark.parametrize("seed", range(3))
def test_temperature_agrees_with_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (COUNT, 4)).astype(np.float32)
    truth = (logits + random.gumbel(size=logits.shape) * 2).argmax(1)
    expected = optimize.minimize_scalar(
        lambda log: sk.log_loss(truth, softmax(logits / np.exp(log))), bounds=(-1.6, 3), options={"xatol": 1e-9}
    )
    assert fit_temperature(logits, truth) == pytest.approx(float(np.exp(expected.x)), rel=1e-4)


def softmax(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities for logits."""
    powers = np.exp(values.astype(np.float64) - values.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
