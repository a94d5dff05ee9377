"""Interface that the predictions of single-label and multilabel targets share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import Estimate, Floats, Ints, Scale, group_intervals, mean_ratio, paired_intervals

Mask = NDArray[np.bool_]

SCALES: dict[str, Scale] = {
    "mae_stops": "amount",
    "log_loss": "amount",
    "ece": "distance",
    "ece_uncalibrated": "distance",
}
"""Kinds of the metrics that are not proportions."""


@dataclass(frozen=True)
class BaselinePredictions:
    """Predictions about N photographs that do not depend on the images.

    Attributes:
        labels: Predicted classes, shape (N, C).
        scores: Scores by which photographs are ranked, shape (N, C).
        stops: Predicted setting in stops, shape (N,); None if the baseline predicts no setting.
    """

    labels: Mask
    scores: Floats
    stops: Floats | None = None


class TargetPredictions(Protocol):
    """Predictions about one target and its true classes.

    Attributes:
        truth: True classes, one row per photograph.
        groups: Index of each photograph's group, shape (N,).
        breakdown_metrics: Metrics that are reported for each source and camera.
    """

    breakdown_metrics: ClassVar[Sequence[str]]

    @property
    def truth(self) -> NDArray[Any]:
        """True classes, one row per photograph."""

    @property
    def groups(self) -> Ints:
        """Index of each photograph's group, shape (N,)."""

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return each metric under group weights of shape (D, G), shape (D,)."""

    def subset(self, rows: NDArray[Any]) -> Self:
        """Return the predictions of some photographs, given as mask or indices."""

    def replaced_by(self, baseline: BaselinePredictions) -> Self:
        """Return a baseline's predictions about the same photographs."""

    def details(self) -> dict[str, Any]:
        """Return counts and scores by class, and the reliability curve, as in ``metrics.json``."""


def class_auc(weights: Floats, groups: Ints, truth: Mask, scores: Floats) -> Floats:
    """Return the area under the ROC curve of one class under group weights, shape (D,); NaN where it is undefined.

    It is the probability that a photograph of the class has a higher score than one of the others; equal scores count
    half (J. Hanley and B. McNeil, Radiology 143, 1982).

    Args:
        weights: Group weights, shape (D, G).
        groups: Index of each photograph's group, shape (N,).
        truth: Whether each photograph has the class, shape (N,).
        scores: Score of each photograph, shape (N,).
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    of_rows = weights[:, groups[order]]
    positives = of_rows * truth[order]
    negatives = np.cumsum(np.pad(of_rows - positives, ((0, 0), (1, 0))), axis=1)
    below, not_above = (np.searchsorted(ranked, ranked, side) for side in ("left", "right"))
    wins = (positives * (negatives[:, below] + negatives[:, not_above]) / 2).sum(1)
    pairs = positives.sum(1) * negatives[:, -1]
    return np.asarray(np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


def mean_defined(values: Floats) -> Floats:
    """Return the mean of the defined values over the last axis, NaN where there are none."""
    return mean_ratio(np.nan_to_num(values), np.isfinite(values).astype(np.float64))


def metric_names(*, multilabel: bool, ordinal: bool) -> list[str]:
    """Return the names of the metrics of a kind of target."""
    calibration = ["log_loss", "ece_uncalibrated", "ece"]
    if multilabel:
        return ["macro_f1", "mean_average_precision", "auc", *calibration]
    stops = ["mae_stops", "within_one_stop", "within_one_class"] if ordinal else []
    return ["accuracy", "balanced_accuracy", "macro_f1", "auc", *stops, *calibration]


def estimates(predictions: TargetPredictions, seed: int = 0) -> dict[str, Estimate]:
    """Return every metric of the predictions with its 95 % interval."""
    return group_intervals(predictions.metrics, np.bincount(predictions.groups), SCALES, seed)


def estimated_differences(reference: TargetPredictions, other: TargetPredictions, seed: int = 0) -> dict[str, Estimate]:
    """Return how every metric differs from a reference's on the same photographs, with its 95 % interval."""
    return paired_intervals(reference.metrics, other.metrics, np.bincount(reference.groups), seed)


def n_groups(predictions: TargetPredictions) -> int:
    """Return the number of groups."""
    return int(predictions.groups.max(initial=-1)) + 1
