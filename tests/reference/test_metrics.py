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
from tests.reference.conftest import Compare

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
def test_metrics_of_classes_agree_with_scikit_learn(seed: int, classes: int, compare: Compare) -> None:
    truth, probabilities = random_probabilities(seed, classes)
    predicted = probabilities.argmax(1)
    predictions = ClassPredictions(
        truth, predicted, np.arange(COUNT) % 7, classes, probabilities, uncalibrated_confidence=probabilities.max(1)
    )
    values = {name: estimate["value"] for name, estimate in estimates(predictions).items()}
    one_hot = np.eye(classes, dtype=int)[truth]
    expected = {
        "accuracy": sk.accuracy_score(truth, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
        "macro_f1": sk.f1_score(truth, predicted, average="macro"),
        "auc": sk.roc_auc_score(one_hot, probabilities, average="macro"),
        "log_loss": sk.log_loss(truth, probabilities),
    }
    assert values.keys() == {*expected, "ece", "ece_uncalibrated"}
    for name, value in expected.items():
        what = f"{name.replace('_', ' ')} of {COUNT} predictions with ties, 2, 3 and 9 classes"
        compare(what, "scikit-learn", values[name], value, within=1e-12)
    confusion = predictions.confusion(), sk.confusion_matrix(truth, predicted)
    compare("confusion matrix of the same", "scikit-learn", *confusion, within=0)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_several_classes_agree_with_scikit_learn(seed: int, compare: Compare) -> None:
    random = np.random.default_rng(seed)
    truth = random.random((COUNT, 4)) < (0.1, 0.3, 0.5, 0.7)
    probabilities = ((truth + random.random((COUNT, 4))) / 2).round(1).clip(0.05, 0.95)
    predicted = probabilities >= 0.5
    predictions = MultilabelPredictions(truth, predicted, probabilities, np.arange(COUNT) % 30, probabilities)
    values = {name: estimate["value"] for name, estimate in estimates(predictions).items()}
    losses = [sk.log_loss(truth[:, index], probabilities[:, index]) for index in range(4)]
    expected = {
        "macro_f1": sk.f1_score(truth, predicted, average="macro"),
        "mean_average_precision": sk.average_precision_score(truth, probabilities),
        "auc": sk.roc_auc_score(truth, probabilities),
        "log_loss": np.mean(losses),
    }
    for name, value in expected.items():
        what = f"{name.replace('_', ' ')} of {COUNT} predictions of 4 concepts at once"
        compare(what, "scikit-learn", values[name], value, within=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_agrees_with_torchmetrics(seed: int, torchmetrics: Any, compare: Compare) -> None:
    truth, probabilities = random_probabilities(seed, 3)
    predictions = ClassPredictions(truth, probabilities.argmax(1), np.arange(COUNT) % 7, 3, probabilities)
    expected = torchmetrics.functional.classification.multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(truth), num_classes=3, n_bins=10, norm="l1"
    )
    value = estimates(predictions)["ece"]["value"]
    what = f"calibration error (ECE) of {COUNT} predictions, 3 classes, single precision"
    compare(what, "torchmetrics multiclass_calibration_error", value, float(expected), within=1e-6)


@pytest.fixture
def torchmetrics() -> Any:
    """The module torchmetrics, which needs the names of torchvision's operators even if these cannot be loaded."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("torchmetrics")


@pytest.mark.parametrize("seed", range(3))
def test_temperature_agrees_with_scipy(seed: int, compare: Compare) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (COUNT, 4)).astype(np.float32)
    truth = (logits + random.gumbel(size=logits.shape) * 2).argmax(1)
    expected = optimize.minimize_scalar(
        lambda log: sk.log_loss(truth, softmax(logits / np.exp(log))), bounds=(-1.6, 3), options={"xatol": 1e-9}
    )
    ratio = fit_temperature(logits, truth) / float(np.exp(expected.x))
    what = f"calibration temperature of {COUNT} logits, 4 classes, relative"
    compare(what, "scipy minimize_scalar", ratio, 1, within=1e-4)


def softmax(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities for logits."""
    powers = np.exp(values.astype(np.float64) - values.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
