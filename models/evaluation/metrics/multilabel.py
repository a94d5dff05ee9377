"""Figures of merit for targets of which a photograph can have several classes at once.

There is no accuracy over the cells of the table (photographs × classes) here: with few classes a photograph, a model
that always says no seems right nearly everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import BINS, Drawn, Floats, Whole, bin_of, draws_of_groups, mean_where
from lightmeter.models.evaluation.metrics.classification import bisect
from lightmeter.models.runtime.predictor import calibrated

_AT_ONCE = 64  # draws that are worked on at a time, for the sake of memory


@dataclass(frozen=True)
class MultilabelPredictions:
    """What was answered about one target, and what is true.

    Attributes:
        truth: which classes a photograph has, shape (N, C).
        predicted: which it is said to have, shape (N, C).
        probabilities: shape (N, C); by them photographs are ranked.
        groups: index of each photograph's group, shape (N,).
        raw_probabilities: before temperature scaling, shape (N, C); None for a baseline, which is not calibrated.
    """

    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    probabilities: Floats
    groups: Whole
    raw_probabilities: Floats | None = None

    def __post_init__(self) -> None:
        if self.truth.ndim != 2 or self.truth.dtype != np.bool_ or self.predicted.dtype != np.bool_:
            raise ValueError("truth and predicted must say of each photograph and class whether it has it")
        if not self.truth.shape == self.predicted.shape == self.probabilities.shape:
            raise ValueError("truth, predicted and probabilities must have one shape")

    def drawn(self, seed: int) -> Drawn:
        """Return macro F1, mean average precision and calibration error, in many draws of the groups."""
        count = int(self.groups.max()) + 1 if len(self.groups) else 0
        every, draws = np.ones((1, count)), draws_of_groups(count, seed)
        formulas = {"macro_f1": self._macro_f1, "mean_average_precision": self._mean_average_precision}
        found = {name: (float(formula(every)[0]), formula(draws)) for name, formula in formulas.items()}
        if self.raw_probabilities is not None:
            for name, shares in (("ece_before", self.raw_probabilities), ("ece", self.probabilities)):
                gaps = self._gaps(shares, count)
                found[name] = (float(_calibration_error(every, gaps)[0]), _calibration_error(draws, gaps))
        return found

    def _macro_f1(self, draws: Floats) -> Floats:
        """Mean over the classes that occur or were answered of 2 TP / (2 TP + FP + FN)."""
        count = draws.shape[1]
        hits = _sums(self.groups, (self.truth & self.predicted).astype(np.float64), count)
        either = _sums(self.groups, self.truth.astype(np.float64) + self.predicted, count)
        return mean_where(2 * draws @ hits, draws @ either)

    def _mean_average_precision(self, draws: Floats) -> Floats:
        """Mean over the classes that occur of the average precision, with photographs counted as often as drawn."""
        parts = [
            np.stack([self._average_precision(draws[start : start + _AT_ONCE], c) for c in range(self.truth.shape[1])])
            for start in range(0, len(draws), _AT_ONCE)
        ]
        if not parts:
            return np.empty(0)
        each = np.concatenate(parts, 1).T
        return mean_where(np.nan_to_num(each), np.isfinite(each).astype(np.float64))

    def _average_precision(self, draws: Floats, number: int) -> Floats:
        """Return ∑ (R_n − R_{n−1}) P_n over the distinct probabilities of a class; NaN where it does not occur."""
        order = np.argsort(-self.probabilities[:, number], kind="stable")
        ranked = -self.probabilities[order, number]
        weights = draws[:, self.groups[order]]
        having = weights * self.truth[order, number]
        last = np.searchsorted(ranked, ranked, side="right") - 1  # equal probabilities are one step
        above, hits = np.cumsum(weights, 1)[:, last], np.cumsum(having, 1)[:, last]
        precision = np.divide(hits, above, out=np.zeros_like(hits), where=above > 0)
        total = having.sum(1)
        gained = (having * precision).sum(1)
        return np.asarray(np.divide(gained, total, out=np.full(len(draws), np.nan), where=total > 0))

    def _gaps(self, shares: Floats, count: int) -> Floats:
        """Return truth less probability by group and bin of probability, and the number of cells, shape (G, B + 1)."""
        place = self.groups[:, None] * BINS + bin_of(shares)
        sums = np.bincount(place.ravel(), weights=(self.truth - shares).ravel(), minlength=count * BINS)
        cells = np.bincount(self.groups, minlength=count) * self.truth.shape[1]
        return np.hstack([sums.reshape(count, BINS), cells[:, None]])


def fit_multilabel_temperature(logits: NDArray[np.float32], truth: Floats) -> float:
    """Return the temperature under which the truth is most likely, one for all classes.

    Args:
        logits: shape (N, C).
        truth: 1 for the classes that a photograph has, shape (N, C).
    """
    values = logits.astype(np.float64)
    return bisect(lambda degree: ((calibrated(logits, degree, multiple=True) - truth) * values).mean() > 0)


def _sums(groups: Whole, values: Floats, count: int) -> Floats:
    """Return the sums of values of shape (N, C) by group, shape (G, C)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums


def _calibration_error(draws: Floats, gaps: Floats) -> Floats:
    """Mean gap between probability and frequency over bins of probability, all classes together."""
    drawn = draws @ gaps
    return np.asarray(np.abs(drawn[:, :-1]).sum(1) / drawn[:, -1])
