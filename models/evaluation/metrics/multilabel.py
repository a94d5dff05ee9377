"""Metrics of targets with any number of classes per photograph.

Accuracy over the cells of the table (photographs × classes) is left out: with few classes per photograph a model that
always predicts none would score high.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import Floats, Ints, group_sums, macro_f1
from lightmeter.models.evaluation.metrics.base import BaselinePredictions, Mask, class_auc, mean_defined
from lightmeter.models.evaluation.metrics.calibration import (
    calibration_error_vector,
    calibration_gaps,
    log_losses,
    reliability_curve,
)


@dataclass(frozen=True)
class MultilabelPredictions:
    """Predictions about a target with any number of classes per photograph.

    Attributes:
        truth: True classes, shape (N, C).
        predicted: Predicted classes, shape (N, C).
        probabilities: Calibrated probability of each class, by which photographs are ranked, shape (N, C).
        groups: Index of each photograph's group, shape (N,).
        uncalibrated_probabilities: Probabilities before temperature scaling, shape (N, C); None for a baseline.
    """

    breakdown_metrics: ClassVar[Sequence[str]] = ("macro_f1",)

    truth: Mask
    predicted: Mask
    probabilities: Floats
    groups: Ints
    uncalibrated_probabilities: Floats | None = None

    def __post_init__(self) -> None:
        if self.truth.ndim != 2 or self.truth.dtype != np.bool_ or self.predicted.dtype != np.bool_:
            raise ValueError("truth and predicted must hold one boolean per photograph and class")
        if not self.truth.shape == self.predicted.shape == self.probabilities.shape:
            raise ValueError("truth, predicted and probabilities must have the same shape")

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return each metric under group weights of shape (D, G), shape (D,)."""
        hits, actual, predicted = np.moveaxis(np.tensordot(weights, self._class_counts, 1), 1, 0)
        classes = range(self.truth.shape[1])
        precisions = [self._average_precision(weights, index) for index in classes]
        areas = [
            class_auc(weights, self.groups, self.truth[:, index], self.probabilities[:, index]) for index in classes
        ]
        values = {
            "macro_f1": macro_f1(hits, actual, predicted),
            "mean_average_precision": mean_defined(np.stack(precisions, 1)),
            "auc": mean_defined(np.stack(areas, 1)),
        }
        count = weights @ np.bincount(self.groups) * self.truth.shape[1]
        if self.uncalibrated_probabilities is not None:  # a baseline's scores are no probabilities
            values["log_loss"] = weights @ self._log_losses / count
        for name, gaps in self._gaps.items():
            values[name] = calibration_error_vector(weights @ gaps, count)
        return values

    def subset(self, rows: NDArray[Any]) -> "MultilabelPredictions":
        """Return the predictions of some photographs, given as mask or indices."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays: dict[str, Any] = {k: v[rows] for k, v in values.items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)

    def replaced_by(self, baseline: BaselinePredictions) -> "MultilabelPredictions":
        """Return a baseline's predictions about the same photographs."""
        return MultilabelPredictions(self.truth, baseline.labels, baseline.scores, self.groups)

    def details(self) -> dict[str, Any]:
        """Return support, scores of each class and the reliability curve, as in ``metrics.json``."""
        hits, actual, predicted = self._class_counts.sum(0)
        f1 = 2 * hits / np.where(actual + predicted, actual + predicted, np.nan)
        every_group = np.ones((1, len(self._class_counts)))
        precisions = [self._average_precision(every_group, index)[0] for index in range(len(actual))]
        return {
            "support": actual.astype(int).tolist(),
            "f1_per_class": [float(value) if np.isfinite(value) else None for value in f1],
            "average_precision_per_class": [float(value) if np.isfinite(value) else None for value in precisions],
            "reliability": reliability_curve(self.probabilities.ravel(), self.truth.ravel()),
        }

    @cached_property
    def _class_counts(self) -> Floats:
        """True positives, true and predicted photographs by group and class, shape (G, 3, C)."""
        return group_sums(self.groups, np.stack([self.truth & self.predicted, self.truth, self.predicted], axis=1))

    @cached_property
    def _log_losses(self) -> Floats:
        """Sum of the binary log losses of all classes by group, shape (G,)."""
        of_truth = np.where(self.truth, self.probabilities, 1 - self.probabilities)
        return group_sums(self.groups, log_losses(of_truth).sum(1))

    @cached_property
    def _gaps(self) -> dict[str, Floats]:
        """Calibration gaps by group, shape (G, bins), before and after temperature scaling."""
        if self.uncalibrated_probabilities is None:
            return {}
        groups = np.repeat(self.groups, self.truth.shape[1])
        probabilities = {"ece_uncalibrated": self.uncalibrated_probabilities, "ece": self.probabilities}
        return {
            name: calibration_gaps(groups, values.ravel(), self.truth.ravel()) for name, values in probabilities.items()
        }

    def _average_precision(self, weights: Floats, index: int) -> Floats:
        """Return the average precision of a class under group weights, shape (D,); NaN where it does not occur.

        This is ∑ (R_n − R_{n−1}) P_n over distinct probabilities, as in scikit-learn, for many weights at once.
        """
        order = np.argsort(-self.probabilities[:, index], kind="stable")
        ranked = -self.probabilities[order, index]
        of_rows = weights[:, self.groups[order]]
        positives = of_rows * self.truth[order, index]
        last = np.searchsorted(ranked, ranked, side="right") - 1  # rows with equal probabilities form one step
        retrieved, hits = np.cumsum(of_rows, 1)[:, last], np.cumsum(positives, 1)[:, last]
        precision = np.divide(hits, retrieved, out=np.zeros_like(hits), where=retrieved > 0)
        total = positives.sum(1)
        gained = (positives * precision).sum(1)
        return np.asarray(np.divide(gained, total, out=np.full(len(weights), np.nan), where=total > 0))
