"""Figures of merit for answers of one class a photograph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import BINS, Drawn, Floats, Whole, bin_of, draws_of_groups, mean_where
from lightmeter.models.runtime.predictor import calibrated

TEMPERATURES = (0.2, 20.0)
"""Least and greatest; a small validation split without a mistake would otherwise ask for endless confidence."""

Formula = Callable[[Mapping[str, Floats]], Floats]


@dataclass(frozen=True)
class ClassPredictions:
    """What was answered about one target, and what is true.

    Accuracy is exact match: the share of photographs whose one answered class is the true one.

    Attributes:
        truth: index of the true class, shape (N,). predicted: index of the answered class, shape (N,).
        groups: index of each photograph's group, shape (N,). classes: number of classes. confidence:
        probability of the answered class, shape (N,); None for a baseline. raw_confidence: likewise before
        temperature scaling. error_stops: distance of answered and true setting in stops, shape (N,); None
        where the target has no order.
    """

    truth: Whole
    predicted: Whole
    groups: Whole
    classes: int
    confidence: Floats | None = None
    raw_confidence: Floats | None = None
    error_stops: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("truth", "predicted"):
            values = getattr(self, name)
            if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{name} must hold one class index a photograph")
            if len(values) and not 0 <= values.min() <= values.max() < self.classes:
                raise ValueError(f"{name} holds an index that is no class")
        if not len(self.truth) == len(self.predicted) == len(self.groups):
            raise ValueError("truth, predicted and groups must be equally long")

    def drawn(self, seed: int) -> Drawn:
        """Return every figure that the answers allow, in many draws of the groups."""
        sums = _sums_by_group(self)
        whole = {name: values.sum(0)[None] for name, values in sums.items()}
        draws = draws_of_groups(len(sums["confusion"]), seed)
        drawn = {name: np.tensordot(draws, values, 1) for name, values in sums.items()}
        return {name: (float(formula(whole)[0]), formula(drawn)) for name, formula in _formulas(self).items()}


def confusion(answers: ClassPredictions) -> Whole:
    """Return how often each true class (row) was answered as each class (column), shape (C, C)."""
    counts = np.bincount(answers.truth * answers.classes + answers.predicted, minlength=answers.classes**2)
    return counts.reshape(answers.classes, answers.classes)


def fit_temperature(logits: NDArray[np.float32], truth: Whole) -> float:
    """Return the temperature under which the truth is most likely (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: shape (N, C).
        truth: index of the true class, shape (N,).
    """
    values = logits.astype(np.float64)
    true = values[np.arange(len(truth)), truth]
    return bisect(lambda degree: ((calibrated(logits, degree) * values).sum(1) - true).mean() > 0)


def bisect(too_sure: Callable[[float], bool]) -> float:
    """Return the temperature above which a model is no longer too sure.

    The likelihood has one peak in 1/T; a model is too sure if it expects higher logits than the truth gets.
    """
    coldest, warmest = TEMPERATURES
    while warmest / coldest > 1 + 1e-6:
        middle = float(np.sqrt(coldest * warmest))
        if too_sure(middle):
            coldest = middle
        else:
            warmest = middle
    return float(np.sqrt(coldest * warmest))


def _sums_by_group(answers: ClassPredictions) -> dict[str, Floats]:
    """Return, for each group, sums from which every figure can be had; leading axis of groups."""
    count = int(answers.groups.max()) + 1 if len(answers.groups) else 0
    size = answers.classes**2
    cell = answers.groups * size + answers.truth * answers.classes + answers.predicted
    table = np.bincount(cell, minlength=count * size).astype(np.float64)
    sums: dict[str, Floats] = {"confusion": table.reshape(count, answers.classes, answers.classes)}
    correct = (answers.truth == answers.predicted).astype(np.float64)
    for name in ("confidence", "raw_confidence"):
        confidence = getattr(answers, name)
        if confidence is not None:
            place = answers.groups * BINS + bin_of(confidence)
            sums[name] = _sum(place, correct - confidence, count * BINS).reshape(count, BINS)
    if answers.error_stops is not None:
        near = (answers.error_stops <= 1.0).astype(np.float64)
        sums["error"] = _sum(answers.groups, answers.error_stops, count)
        sums["near"] = _sum(answers.groups, near, count)
    return sums


def _sum(place: Whole, values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(place, weights=values, minlength=size), np.float64)


def _formulas(answers: ClassPredictions) -> dict[str, Formula]:
    chosen: dict[str, Formula] = {
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced_accuracy,
        "macro_f1": _macro_f1,
    }
    if answers.error_stops is not None:
        chosen["error_stops"] = lambda sums: sums["error"] / sums["confusion"].sum((1, 2))
        chosen["within_one_stop"] = lambda sums: sums["near"] / sums["confusion"].sum((1, 2))
        chosen["within_one_class"] = _within_one_class
    if answers.raw_confidence is not None:
        chosen["ece_before"] = lambda sums: _calibration_error(sums, "raw_confidence")
    if answers.confidence is not None:
        chosen["ece"] = lambda sums: _calibration_error(sums, "confidence")
    return chosen


def _accuracy(sums: Mapping[str, Floats]) -> Floats:
    table = sums["confusion"]
    return np.asarray(np.trace(table, axis1=1, axis2=2) / table.sum((1, 2)))


def _within_one_class(sums: Mapping[str, Floats]) -> Floats:
    """Share of answers that are the true class or one beside it (one-off accuracy)."""
    table = sums["confusion"]
    near = np.tri(table.shape[1], k=1) - np.tri(table.shape[1], k=-2)
    return np.asarray((table * near).sum((1, 2)) / table.sum((1, 2)))


def _balanced_accuracy(sums: Mapping[str, Floats]) -> Floats:
    """Mean recall over the classes that occur."""
    table = sums["confusion"]
    return mean_where(np.diagonal(table, axis1=1, axis2=2), table.sum(2))


def _macro_f1(sums: Mapping[str, Floats]) -> Floats:
    """Mean F1 over the classes that occur or were answered."""
    table = sums["confusion"]
    hits = np.diagonal(table, axis1=1, axis2=2)
    return mean_where(2 * hits, table.sum(2) + table.sum(1))


def _calibration_error(sums: Mapping[str, Floats], name: str) -> Floats:
    """Expected calibration error: the mean gap of accuracy and confidence over bins of confidence."""
    return np.asarray(np.abs(sums[name]).sum(1) / sums["confusion"].sum((1, 2)))
