"""Intervals by resampling whole groups.

Photographs of one photographer resemble each other, so they are drawn together: an interval over
photographs would pretend to know more than it does (Efron and Tibshirani 1993, chapter 8: resample the
units that are independent).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Estimate = dict[str, float | None]
Drawn = dict[str, tuple[float, Floats]]
"""Figures by name: what each is, and what it is in many draws of the groups (none where there is one group)."""

RESAMPLES = 2000
BINS = 10
_LEAST_GROUPS = 2


class Predictions(Protocol):
    """Answers of which figures can be had."""

    @property
    def truth(self) -> NDArray[Any]:
        """What is true, a row a photograph."""

    @property
    def groups(self) -> Whole:
        """Index of each photograph's group, shape (N,)."""

    def drawn(self, seed: int) -> Drawn:
        """Return every figure that the answers allow, in many draws of the groups."""


def bootstrap(answers: Predictions, seed: int = 0) -> dict[str, Estimate]:
    """Return every figure that the answers allow, each as ``{"value", "low", "high"}``."""
    return {name: with_interval(value, draws) for name, (value, draws) in answers.drawn(seed).items()}


def paired_bootstrap(first: Predictions, second: Predictions, seed: int = 0) -> dict[str, Estimate]:
    """Return the second's figures less the first's, with intervals from drawing the same groups for both.

    Args:
        first: answers about some photographs.
        second: answers about the same photographs, in the same order.
        seed: of the resampling.
    """
    if not (np.array_equal(first.truth, second.truth) and np.array_equal(first.groups, second.groups)):
        raise ValueError("answers about different photographs cannot be compared")
    ours, theirs = second.drawn(seed), first.drawn(seed)
    return {
        name: with_interval(ours[name][0] - theirs[name][0], ours[name][1] - theirs[name][1])
        for name in ours
        if name in theirs
    }


def draws_of_groups(count: int, seed: int) -> Floats:
    """Return how often each of so many groups is drawn, in many draws with replacement.

    Returns:
        Shape (RESAMPLES, count); no draw at all where there are fewer than two groups.
    """
    if count < _LEAST_GROUPS:
        return np.empty((0, count))
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def group_numbers(groups: Sequence[str]) -> Whole:
    """Return a number for each photograph that is the same within a group."""
    return np.asarray(np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1], np.int64)


def mean_where(above: Floats, below: Floats) -> Floats:
    """Return the mean over the last axis of the ratios whose denominator is above zero; NaN where none is."""
    counted = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(below), where=counted)
    count = counted.sum(-1)
    return np.asarray(np.divide(ratios.sum(-1), count, out=np.full(count.shape, np.nan), where=count > 0))


def bin_of(confidence: Floats) -> Whole:
    """Return which of ten bins each confidence falls into."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return confidence and accuracy in each of ten bins of confidence that hold photographs."""
    bins = bin_of(confidence)
    return [
        {
            "photographs": int((bins == index).sum()),
            "confidence": float(confidence[bins == index].mean()),
            "accuracy": float(correct[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]


def format_estimate(figure: Mapping[str, Any], *, percent: bool = True) -> str:
    """Return a figure with its interval as people write it, for example ``81.4 % [70.9, 87.4]``."""
    if figure["value"] is None:
        return "–"
    scale, digits, unit = (100, 1, " %") if percent else (1, 2, "")
    text = f"{figure['value'] * scale:.{digits}f}{unit}"
    if figure["low"] is None:
        return text
    return f"{text} [{figure['low'] * scale:.{digits}f}, {figure['high'] * scale:.{digits}f}]"


def with_interval(value: float, draws: Floats) -> Estimate:
    """Return a figure with the middle 95 % of what it is in many draws."""
    known = draws[np.isfinite(draws)]
    low, high = np.percentile(known, [2.5, 97.5]).tolist() if len(known) else (None, None)
    return {"value": float(value) if np.isfinite(value) else None, "low": low, "high": high}
