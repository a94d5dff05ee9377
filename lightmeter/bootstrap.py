"""Confidence intervals over groups, and the metrics that need them.

Photographs of one photographer resemble each other. An interval that treats them as independent would be too narrow, so
groups are the units. The standard error of a metric comes from resampled groups (B. Efron and R. Tibshirani, "An
introduction to the bootstrap", 1993, chapter 8), or with fewer than 20 groups, where resampling gives too little, from
leaving out one group after the other (a cluster-robust error: R. Bell and D. McCaffrey, "Bias reduction in standard
errors for linear regression with multi-stage samples", 2002). The interval is that of Student's t with the degrees of
freedom of groups of unequal sizes, for proportions on the scale of log odds, which keeps it within 0 and 1. Where every
group is right, or none, it is the interval of C. Clopper and E. Pearson (1934) for so many groups.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Metrics = Callable[[Floats], Mapping[str, Floats]]
"""Function from group weights, shape (D, G), to the value of each metric under each row of weights, shape (D,).

A distance is given as its vector, shape (D, B); the metric is the sum of its absolute values.
"""

RESAMPLES = 2000

FEW_GROUPS = 10
"""Number of groups below which intervals are reported with a warning."""

_MIN_BOOTSTRAP_GROUPS = 20
_CHUNK = 50  # resamples computed at a time, to limit memory
_TAIL = 0.025  # on either side of an interval
_NOISE_DRAWS = 1000
_MARGIN = 1e-6  # of proportions, whose log odds are infinite at 0 and 1

Scale = Literal["proportion", "amount", "number", "distance"]
"""Kind of a metric: a proportion, from 0 to 1; an amount, at least 0; any number; or a distance such as the ECE, the
sum of the absolute values of a vector, to which sampling noise adds."""


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


def group_intervals(
    metrics: Metrics, sizes: ArrayLike, scales: Mapping[str, Scale] | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Return each metric with its 95 % interval over groups.

    Args:
        metrics: Metrics as a function of group weights.
        sizes: Number of photographs in each group, shape (G,).
        scales: Kind of each metric by name (default: ``proportion``).
        seed: Seed of the resampling.

    Example:
        >>> hits, counts = group_sums([0, 0, 1], [1, 0, 1]), group_sums([0, 0, 1], [1, 1, 1])
        >>> estimates = group_intervals(lambda weights: {"accuracy": weights @ hits / (weights @ counts)}, counts)
        >>> format_estimate(estimates["accuracy"])
        '66.7 % [0.0, 100.0]'
    """
    sizes = np.asarray(sizes, np.float64)
    values = metrics(np.ones((1, len(sizes))))
    if len(sizes) < 2:
        return {name: Estimate(value=_defined(_size(value)[0]), low=None, high=None) for name, value in values.items()}
    left_out, scales = metrics(1 - np.eye(len(sizes))), scales or {}
    resampled = left_out if len(sizes) < _MIN_BOOTSTRAP_GROUPS else _resampled(metrics, len(sizes), seed)
    return {
        name: _distance(value[0], left_out[name], sizes, seed)
        if scales.get(name) == "distance"
        else _interval(float(value[0]), resampled[name], sizes, scales.get(name, "proportion"))
        for name, value in values.items()
    }


def paired_intervals(first: Metrics, second: Metrics, sizes: ArrayLike, seed: int = 0) -> dict[str, Estimate]:
    """Return the difference second − first of each metric that both have, with its 95 % interval.

    Both are computed for the same groups.

    Args:
        first: Metrics of the reference.
        second: Metrics of what is compared with it, over the same groups.
        sizes: Number of photographs in each group, shape (G,).
        seed: Seed of the resampling.
    """

    def difference(weights: Floats) -> dict[str, Floats]:
        ours, reference = second(weights), first(weights)
        return {name: _size(ours[name]) - _size(reference[name]) for name in ours if name in reference}

    names = difference(np.ones((1, len(np.asarray(sizes)))))
    return group_intervals(difference, sizes, dict.fromkeys(names, "number"), seed)


def _resampled(metrics: Metrics, n_groups: int, seed: int) -> dict[str, Floats]:
    """Return each metric of resampled groups."""
    draws = [metrics(weights) for weights in _resampled_weights(n_groups, seed)]
    return {name: np.concatenate([values[name] for values in draws]) for name in draws[0]}


def _interval(value: float, draws: Floats, sizes: Floats, scale: Scale) -> Estimate:
    """Return a metric with its t-interval.

    Args:
        value: The metric.
        draws: The metric of resampled groups, or with few groups of all groups but one; undefined ones are ignored.
        sizes: Number of photographs in each group, shape (G,).
        scale: Kind of the metric.
    """
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(draws) < 2:
        return Estimate(value=_defined(value), low=None, high=None)
    if scale == "proportion" and value in (0, 1) and (draws == value).all():
        bound = _TAIL ** (1 / len(sizes))
        return Estimate(value=value, low=bound if value else 0.0, high=1.0 if value else 1 - bound)
    count = len(sizes)
    factor = (len(draws) - 1) ** 2 / len(draws) if count < _MIN_BOOTSTRAP_GROUPS else count / (count - 1)
    width = _quantile(sizes) * float(np.sqrt(factor * draws.var(ddof=1)))
    low, high = value - width, value + width
    if scale == "proportion":
        odds = float(np.clip(value, _MARGIN, 1 - _MARGIN))
        low, high = (float(special.expit(special.logit(odds) + sign * width / (odds * (1 - odds)))) for sign in (-1, 1))
    elif scale == "amount" and value > 0:
        low, high = value * float(np.exp(-width / value)), value * float(np.exp(width / value))
    return Estimate(value=value, low=min(value, low), high=max(value, high))


def _distance(vector: Floats, left_out: Floats, sizes: Floats, seed: int) -> Estimate:
    """Return the sum of the absolute values of a vector with an interval that holds 0 if the vector may be noise.

    The noise of the vector is drawn from its values without one group each. The lower end is the least distance from
    which such noise leads to the value; the upper end lies as far above the value as noise takes it below its mean.

    Args:
        vector: The vector, shape (B,).
        left_out: The vector without one group each, shape (G, B).
        sizes: Number of photographs in each group, shape (G,).
        seed: Seed of the noise.
    """
    value = float(np.abs(vector).sum())
    count = len(sizes)
    if not np.isfinite(left_out).all():
        return Estimate(value=_defined(value), low=None, high=None)
    influence = (left_out.mean(0) - left_out) * np.sqrt((count - 1) / count)
    noise = np.random.default_rng(seed).normal(size=(_NOISE_DRAWS, count)) @ influence
    noise *= _quantile(sizes) / -special.ndtri(_TAIL)
    distances, lengths = np.abs(vector + noise).sum(1), np.abs(noise).sum(1)
    least, greatest = np.quantile(distances, [_TAIL, 1 - _TAIL])
    low = min(2 * value - greatest, value - np.quantile(lengths, 1 - _TAIL))
    return Estimate(value=value, low=max(0.0, float(low)), high=float(value + max(0.0, distances.mean() - least)))


def _quantile(sizes: Floats) -> float:
    """Return the quantile of Student's t for groups of these sizes."""
    effective = sizes.sum() ** 2 / np.square(sizes).sum()  # groups of one size that would count as much
    return -float(special.stdtrit(max(effective - 1, 1), _TAIL))


def _size(values: Floats) -> Floats:
    """Return a metric as numbers of shape (D,): the sum of the absolute values of a vector."""
    return values if values.ndim == 1 else np.abs(values).sum(1)


def estimate_from_draws(value: float, draws: Floats) -> Estimate:
    """Return a metric with the middle 95 % of its resampled values, without those that are undefined."""
    defined = draws[np.isfinite(draws)]
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL]).tolist() if len(defined) else (None, None)
    return Estimate(value=_defined(float(value)), low=low, high=high)


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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


def few_groups_warning(n_groups: int) -> str:
    """Return a sentence if there are too few groups for reliable intervals, else an empty text."""
    if n_groups >= FEW_GROUPS:
        return ""
    return (
        f"There {'is' if n_groups == 1 else 'are'} only {n_groups} group{'s' * (n_groups != 1)}: intervals from fewer "
        f"than {FEW_GROUPS} are wide and rough."
    )


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
    for _ in range(RESAMPLES // _CHUNK):
        yield random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=_CHUNK).astype(np.float64)
