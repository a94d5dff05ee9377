"""Confidence intervals by bootstrap over groups, and the metrics that need it.

Photographs of one photographer resemble each other. An interval that treats them as independent would be too
narrow, so whole groups are resampled (Efron and Tibshirani 1993, chapter 8).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Metrics = Callable[[Floats], Mapping[str, Floats]]
"""Function from group weights, shape (D, G), to the value of each metric under each row of weights, shape (D,)."""

RESAMPLES = 2000
_CHUNK = 50  # resamples computed at a time, to limit memory


class Estimate(TypedDict):
    """A metric with its 95 % interval.

    Attributes:
        value: The metric, None where it is undefined.
        low: Lower end of the interval, None with fewer than two groups.
        high: Upper end of the interval, None with fewer than two groups.
    """

    value: float | None
    low: float | None
    high: float | None


def bootstrap(metrics: Metrics, n_groups: int, seed: int = 0) -> dict[str, Estimate]:
    """Return each metric with its 95 % percentile interval over resampled groups.

    Args:
        metrics: Metrics as a function of group weights.
        n_groups: Number of groups.
        seed: Seed of the resampling.

    Example:
        >>> hits, counts = group_sums([0, 0, 1], [1, 0, 1]), group_sums([0, 0, 1], [1, 1, 1])
        >>> estimate = bootstrap(lambda weights: {"accuracy": weights @ hits / (weights @ counts)}, n_groups=2)
        >>> format_estimate(estimate["accuracy"])
        '66.7 % [50.0, 100.0]'
    """
    draws = [metrics(weights) for weights in _resampled_weights(n_groups, seed)]
    return {
        name: estimate_from_draws(
            value[0], np.concatenate([values[name] for values in draws]) if draws else np.empty(0)
        )
        for name, value in metrics(np.ones((1, n_groups))).items()
    }


def paired_bootstrap(first: Metrics, second: Metrics, n_groups: int, seed: int = 0) -> dict[str, Estimate]:
    """Return the difference second − first of each metric that both have, with its 95 % interval.

    Both are resampled with the same groups.

    Args:
        first: Metrics of the reference.
        second: Metrics of what is compared with it, over the same groups.
        n_groups: Number of groups.
        seed: Seed of the resampling.
    """

    def difference(weights: Floats) -> dict[str, Floats]:
        ours, reference = second(weights), first(weights)
        return {name: ours[name] - reference[name] for name in ours if name in reference}

    return bootstrap(difference, n_groups, seed)


def estimate_from_draws(value: float, draws: Floats) -> Estimate:
    """Return a metric with the middle 95 % of its resampled values, without those that are undefined."""
    defined = draws[np.isfinite(draws)]
    low, high = np.percentile(defined, [2.5, 97.5]).tolist() if len(defined) else (None, None)
    return Estimate(value=float(value) if np.isfinite(value) else None, low=low, high=high)


def group_indices(groups: Sequence[str]) -> Ints:
    """Return the index of each row's group, shape (N,)."""
    return np.asarray(np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1], np.int64)


def group_sums(groups: ArrayLike, values: ArrayLike) -> Floats:
    """Return the sum of values by group.

    Args:
        groups: Index of each row's group, shape (N,).
        values: Values of each row, shape (N, ...).

    Returns:
        Sums, shape (G, ...).
    """
    rows, indices = np.asarray(values, np.float64), np.asarray(groups, np.int64)
    sums = np.zeros((int(indices.max(initial=-1)) + 1, *rows.shape[1:]))
    np.add.at(sums, indices, rows)
    return sums


def group_histogram(groups: Ints, bins: Ints, n_bins: int, values: Floats | None = None) -> Floats:
    """Return the number of rows, or the sum of their values, by group and bin, shape (G, n_bins).

    Args:
        groups: Index of each row's group, shape (N,).
        bins: Index of each row's bin, shape (N,).
        n_bins: Number of bins.
        values: Value of each row, shape (N,) (default: 1 each).
    """
    n_groups = int(groups.max(initial=-1)) + 1
    cells = np.bincount(groups * n_bins + bins, weights=values, minlength=n_groups * n_bins)
    return cells.astype(np.float64).reshape(n_groups, n_bins)


def macro_f1(true_positives: Floats, actual: Floats, predicted: Floats) -> Floats:
    """Return the mean of the F1 scores of the classes that occur or are predicted, over the last axis.

    Args:
        true_positives: Correct predictions of each class, shape (..., C).
        actual: Examples of each class, shape (..., C).
        predicted: Predictions of each class, shape (..., C).
    """
    return mean_ratio(2 * true_positives, actual + predicted)


def balanced_accuracy(true_positives: Floats, actual: Floats) -> Floats:
    """Return the mean recall of the classes that occur, over the last axis."""
    return mean_ratio(true_positives, actual)


def mean_ratio(numerators: Floats, denominators: Floats) -> Floats:
    """Return the mean over the last axis of the ratios with a positive denominator, NaN where there are none."""
    defined = denominators > 0
    ratios = np.divide(numerators, denominators, out=np.zeros_like(denominators), where=defined)
    count = defined.sum(-1)
    return np.asarray(np.divide(ratios.sum(-1), count, out=np.full(count.shape, np.nan), where=count > 0))


def format_estimate(estimate: Estimate, *, percent: bool = True, signed: bool = False) -> str:
    """Return an estimate as text, for example ``81.4 % [70.9, 87.4]``.

    Args:
        estimate: Estimate to format.
        percent: Whether it is a proportion.
        signed: Whether it is a difference: with a sign, and percentage points for proportions.
    """
    if estimate["value"] is None:
        return "–"
    scale, digits, unit = (100, 1, " points" if signed else " %") if percent else (1, 2, "")
    values = (estimate["value"], estimate["low"], estimate["high"])
    value, *interval = (f"{v * scale:{'+' if signed else ''}.{digits}f}" for v in values if v is not None)
    return f"{value}{unit} [{', '.join(interval)}]" if interval else f"{value}{unit}"


def _resampled_weights(n_groups: int, seed: int) -> Iterator[Floats]:
    """Yield how often each group is drawn with replacement, shape (_CHUNK, G)."""
    random = np.random.default_rng(seed)
    if n_groups > 1:
        for _ in range(RESAMPLES // _CHUNK):
            yield random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=_CHUNK).astype(np.float64)
