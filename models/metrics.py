"""Figures of merit, by photograph, each with a 95 % interval from resampling whole groups.

Photographs of one photographer resemble each other, so they are drawn together: an interval over
photographs would pretend to know more than it does (Efron and Tibshirani 1993, chapter 8: resample the
units that are independent).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Figure = dict[str, float | None]

RESAMPLES = 2000
BINS = 10
TEMPERATURES = (0.2, 20.0)
"""Least and greatest; a small validation split without a mistake would otherwise ask for endless confidence."""
_LEAST_GROUPS = 2


@dataclass(frozen=True)
class Answers:
    """What was answered about one target, and what is true.

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


def figures(answers: Answers, seed: int = 0) -> dict[str, Figure]:
    """Return every figure that the answers allow, each as ``{"value", "low", "high"}``.

    Accuracy is exact match: the share of photographs whose one answered class is the true one.
    """
    return {name: _with_interval(value, draws) for name, (value, draws) in _drawn(answers, seed).items()}


def differences(first: Answers, second: Answers, seed: int = 0) -> dict[str, Figure]:
    """Return the second's figures less the first's, with intervals from drawing the same groups for both.

    Args:
        first: answers about some photographs.
        second: answers about the same photographs, in the same order.
        seed: of the resampling.
    """
    if not (np.array_equal(first.truth, second.truth) and np.array_equal(first.groups, second.groups)):
        raise ValueError("answers about different photographs cannot be compared")
    ours, theirs = _drawn(second, seed), _drawn(first, seed)
    return {
        name: _with_interval(ours[name][0] - theirs[name][0], ours[name][1] - theirs[name][1])
        for name in ours
        if name in theirs
    }


def confusion(answers: Answers) -> Whole:
    """Return how often each true class (row) was answered as each class (column), shape (C, C)."""
    counts = np.bincount(answers.truth * answers.classes + answers.predicted, minlength=answers.classes**2)
    return counts.reshape(answers.classes, answers.classes)


def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return confidence and accuracy in each of ten bins of confidence that hold photographs."""
    bins = _bin(confidence)
    return [
        {
            "photographs": int((bins == index).sum()),
            "confidence": float(confidence[bins == index].mean()),
            "accuracy": float(correct[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]


def temperature(logits: NDArray[np.float32], truth: Whole) -> float:
    """Return the temperature under which the truth is most likely (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: shape (N, C).
        truth: index of the true class, shape (N,).
    """
    values = logits.astype(np.float64)
    true = values[np.arange(len(truth)), truth]
    coldest, warmest = TEMPERATURES
    while warmest / coldest > 1 + 1e-6:  # the likelihood has one peak in 1/T: halve the range that holds it
        middle = float(np.sqrt(coldest * warmest))
        powers = np.exp((values - values.max(1, keepdims=True)) / middle)
        expected = (powers * values).sum(1) / powers.sum(1)
        if (expected - true).mean() > 0:  # too sure: expects higher logits than the truth gets
            coldest = middle
        else:
            warmest = middle
    return float(np.sqrt(coldest * warmest))


def group_numbers(groups: Sequence[str]) -> Whole:
    """Return a number for each photograph that is the same within a group."""
    return np.asarray(np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1], np.int64)


def _drawn(answers: Answers, seed: int) -> dict[str, tuple[float, Floats]]:
    """Return every figure and what it is in many draws of the groups (none where there is one group)."""
    sums = _sums_by_group(answers)
    whole = {name: values.sum(0)[None] for name, values in sums.items()}
    draws = _resampled(sums, seed)
    return {
        name: (float(figure(whole)[0]), figure(draws) if draws else np.empty(0))
        for name, figure in _figures_of(answers).items()
    }


def _sums_by_group(answers: Answers) -> dict[str, Floats]:
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
            place = answers.groups * BINS + _bin(confidence)
            sums[name] = _sum(place, correct - confidence, count * BINS).reshape(count, BINS)
    if answers.error_stops is not None:
        near = (answers.error_stops <= 1.0).astype(np.float64)
        sums["error"] = _sum(answers.groups, answers.error_stops, count)
        sums["near"] = _sum(answers.groups, near, count)
    return sums


def _sum(place: Whole, values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(place, weights=values, minlength=size), np.float64)


def _resampled(sums: Mapping[str, Floats], seed: int) -> dict[str, Floats]:
    """Return the sums of many draws of groups with replacement; leading axis of draws."""
    count = len(sums["confusion"])
    if count < _LEAST_GROUPS:
        return {}
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return {name: np.tensordot(draws.astype(np.float64), values, 1) for name, values in sums.items()}


def _figures_of(answers: Answers) -> dict[str, Callable[[Mapping[str, Floats]], Floats]]:
    chosen: dict[str, Callable[[Mapping[str, Floats]], Floats]] = {
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced_accuracy,
        "macro_f1": _macro_f1,
    }
    if answers.error_stops is not None:
        chosen["error_stops"] = lambda sums: sums["error"] / sums["confusion"].sum((1, 2))
        chosen["within_one_stop"] = lambda sums: sums["near"] / sums["confusion"].sum((1, 2))
    if answers.raw_confidence is not None:
        chosen["ece_before"] = lambda sums: _calibration_error(sums, "raw_confidence")
    if answers.confidence is not None:
        chosen["ece"] = lambda sums: _calibration_error(sums, "confidence")
    return chosen


def _accuracy(sums: Mapping[str, Floats]) -> Floats:
    table = sums["confusion"]
    return np.asarray(np.trace(table, axis1=1, axis2=2) / table.sum((1, 2)))


def _balanced_accuracy(sums: Mapping[str, Floats]) -> Floats:
    """Mean recall over the classes that occur."""
    table = sums["confusion"]
    return _mean_where(np.diagonal(table, axis1=1, axis2=2), table.sum(2))


def _macro_f1(sums: Mapping[str, Floats]) -> Floats:
    """Mean F1 over the classes that occur or were answered."""
    table = sums["confusion"]
    hits = np.diagonal(table, axis1=1, axis2=2)
    return _mean_where(2 * hits, table.sum(2) + table.sum(1))


def _calibration_error(sums: Mapping[str, Floats], name: str) -> Floats:
    """Expected calibration error: the mean gap of accuracy and confidence over bins of confidence."""
    return np.asarray(np.abs(sums[name]).sum(1) / sums["confusion"].sum((1, 2)))


def _mean_where(above: Floats, below: Floats) -> Floats:
    counted = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(below), where=counted)
    return np.asarray(ratios.sum(1) / counted.sum(1))


def _bin(confidence: Floats) -> Whole:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _with_interval(value: float, draws: Floats) -> Figure:
    low, high = np.percentile(draws, [2.5, 97.5]).tolist() if len(draws) else (None, None)
    return {"value": value if np.isfinite(value) else None, "low": low, "high": high}


def told(figure: Mapping[str, Any], *, percent: bool = True) -> str:
    """Return a figure with its interval as people write it, for example ``81.4 % [70.9, 87.4]``."""
    if figure["value"] is None:
        return "–"
    scale, digits, unit = (100, 1, " %") if percent else (1, 2, "")
    text = f"{figure['value'] * scale:.{digits}f}{unit}"
    if figure["low"] is None:
        return text
    return f"{text} [{figure['low'] * scale:.{digits}f}, {figure['high'] * scale:.{digits}f}]"
