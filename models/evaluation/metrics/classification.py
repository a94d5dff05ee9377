"""Metrics of targets with one class per photograph."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import Floats, Ints, balanced_accuracy, group_histogram, group_sums, macro_f1
from lightmeter.models.evaluation.metrics.base import BaselinePredictions, class_auc, mean_defined
from lightmeter.models.evaluation.metrics.calibration import (
    calibration_error_vector,
    calibration_gaps,
    log_losses,
    reliability_curve,
)

STOP_TOLERANCE = 0.1
"""Added to one stop in ``within_one_stop``.

The nominal values of settings (1/60 s, f/11) differ from the exact powers of two by up to 0.093 stops, so neighbouring
settings are up to 1.09 stops apart.
"""


@dataclass(frozen=True)
class ClassPredictions:
    """Predictions about a target with one class per photograph.

    Accuracy is exact match: the proportion of photographs for which the predicted class is the true class.

    Attributes:
        truth: Index of the true class, shape (N,).
        predicted: Index of the predicted class, shape (N,).
        groups: Index of each photograph's group, shape (N,).
        n_classes: Number of classes.
        probabilities: Calibrated probability of each class, shape (N, C); None for a baseline.
        uncalibrated_confidence: Probability before temperature scaling, shape (N,).
        true_stops: True setting in stops, shape (N,); None for a target without order.
        predicted_stops: Predicted setting in stops, shape (N,).
    """

    breakdown_metrics: ClassVar[Sequence[str]] = ("accuracy", "mae_stops")

    truth: Ints
    predicted: Ints
    groups: Ints
    n_classes: int
    probabilities: Floats | None = None
    uncalibrated_confidence: Floats | None = None
    true_stops: Floats | None = None
    predicted_stops: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("truth", "predicted"):
            values = getattr(self, name)
            if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{name} must hold one class index per photograph")
            if len(values) and not 0 <= values.min() <= values.max() < self.n_classes:
                raise ValueError(f"{name} holds an index outside 0..{self.n_classes - 1}")
        if not len(self.truth) == len(self.predicted) == len(self.groups):
            raise ValueError("truth, predicted and groups must have the same length")

    @property
    def confidence(self) -> Floats | None:
        """Calibrated probability of the most probable class, shape (N,); None for a baseline."""
        return None if self.probabilities is None else self.probabilities.max(1)

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return each metric under group weights of shape (D, G), shape (D,)."""
        sums = {name: np.tensordot(weights, values, 1) for name, values in self._group_sums.items()}
        confusion = sums["confusion"]
        hits, actual, count = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2), confusion.sum((1, 2))
        values = {
            "accuracy": hits.sum(1) / count,
            "balanced_accuracy": balanced_accuracy(hits, actual),
            "macro_f1": macro_f1(hits, actual, confusion.sum(1)),
        }
        if "stops" in sums:
            adjacent = np.tri(self.n_classes, k=1) - np.tri(self.n_classes, k=-2)
            values["mae_stops"], values["within_one_stop"] = sums["stops"].T / count
            values["within_one_class"] = (confusion * adjacent).sum((1, 2)) / count
        if self.probabilities is not None:
            values["log_loss"] = sums["log_loss"] / count
            areas = [
                class_auc(weights, self.groups, self.truth == index, self.probabilities[:, index])
                for index in range(self.n_classes)
            ]
            values["auc"] = mean_defined(np.stack(areas, 1))
        for name in ("ece_uncalibrated", "ece"):
            if name in sums:
                values[name] = calibration_error_vector(sums[name], count)
        return values

    def subset(self, rows: NDArray[Any]) -> "ClassPredictions":
        """Return the predictions of some photographs, given as mask or indices."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays: dict[str, Any] = {k: v[rows] for k, v in values.items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)

    def replaced_by(self, baseline: BaselinePredictions) -> "ClassPredictions":
        """Return a baseline's predictions about the same photographs."""
        return ClassPredictions(
            self.truth,
            baseline.labels.argmax(1),
            self.groups,
            self.n_classes,
            true_stops=self.true_stops,
            predicted_stops=baseline.stops,
        )

    def confusion(self) -> Ints:
        """Return the number of photographs by true class (row) and predicted class (column), shape (C, C)."""
        return np.asarray(self._group_sums["confusion"].sum(0), np.int64)

    def details(self) -> dict[str, Any]:
        """Return support, confusion matrix and reliability curve, as in ``metrics.json``."""
        confusion = self.confusion()
        correct = self.truth == self.predicted
        return {
            "support": confusion.sum(1).tolist(),
            "confusion_matrix": confusion.tolist(),
            "reliability": [] if self.confidence is None else reliability_curve(self.confidence, correct),
        }

    @cached_property
    def _group_sums(self) -> dict[str, Floats]:
        """Sums by group that determine every metric, each of shape (G, ...)."""
        cells = group_histogram(self.groups, self.truth * self.n_classes + self.predicted, self.n_classes**2)
        sums: dict[str, Floats] = {"confusion": cells.reshape(-1, self.n_classes, self.n_classes)}
        if self.true_stops is not None and self.predicted_stops is not None:
            error = np.abs(self.predicted_stops - self.true_stops)
            within = error <= 1 + STOP_TOLERANCE
            sums["stops"] = group_sums(self.groups, np.stack([error, within], axis=1))
        if self.probabilities is not None:
            of_truth = self.probabilities[np.arange(len(self.truth)), self.truth]
            sums["log_loss"] = group_sums(self.groups, log_losses(of_truth))
        confidences = {"ece_uncalibrated": self.uncalibrated_confidence, "ece": self.confidence}
        for name, confidence in confidences.items():
            if confidence is not None:
                sums[name] = calibration_gaps(self.groups, confidence, self.truth == self.predicted)
        return sums
