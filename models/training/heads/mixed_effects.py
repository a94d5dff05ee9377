"""Heads of targets in stops: regression on these, with an offset for each group of photographs.

What a photographer's pictures have in common (cameras, light, editing) tells little of the next photographer's, and
yet explains his own settings. So a group may have an offset of its own: y = c + w·x + u + e, a linear mixed model
(N. M. Laird and J. H. Ware, "Random-effects models for longitudinal data", Biometrics 38, 1982), fitted for given
variances by generalised least squares, which with one offset a group takes a share of the group's mean from each
photograph (W. A. Fuller and G. E. Battese, "Transformations for estimation of linear models with nested-error
structure", JASA 68, 1973), here with a penalty on w. Of a group never seen the offset is zero.

Classes are read off the estimate by how estimates lie for true stops (C. Eisenhart, "The interpretation of certain
regression methods", Annals of Mathematical Statistics 10, 1939): normal, around a line. That is a softmax of linear
logits, so the head in the network is the same as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from lightmeter.bootstrap import group_indices
from lightmeter.exposure import is_stop_unit
from lightmeter.labels.datasets.dataset import TargetSpec
from lightmeter.models.training.heads.softmax import Tried, grouped_folds, reduced
from lightmeter.models.training.loader import Row, class_numbers, stops_of
from lightmeter.models.training.recipe import Probe

Values = NDArray[np.float64]

_OUTERMOST = 0.01  # share of the stops on either side that count as no more extreme than the rest
_LEAST_VARIANCE = 1e-9
_RARE = 0.01  # photographs, for classes of which there is none


@dataclass(frozen=True)
class StopsData:
    """What one target's head is fitted to: photographs of which the stops are known.

    Attributes:
        features: shape (N, F).
        stops: shape (N,).
        classes: of each photograph, −1 for what lies between the classes; shape (N,).
        centres: the stops of each class, shape (C,).
        groups: of photographs that belong together, shape (N,).
        places: of the photographs among all rows, shape (N,).
        even: whether every class counts the same.
    """

    features: Values
    stops: Values
    classes: NDArray[np.int64]
    centres: Values
    groups: NDArray[np.int64]
    places: NDArray[np.int64]
    even: bool

    def some(self, which: NDArray[np.int64]) -> "StopsData":
        """Return the task of some of the photographs."""
        parts = (self.features[which], self.stops[which], self.classes[which])
        return StopsData(*parts, self.centres, self.groups[which], self.places[which], self.even)


@dataclass(frozen=True)
class ClassDensity:
    """How estimates of photographs lie, by class.

    Attributes:
        means: of the estimates of each class, shape (C,).
        variance: around them.
        prior: logarithms of what the classes count beforehand, shape (C,).
    """

    means: Values
    variance: float
    prior: Values

    def logits(self, estimates: Values) -> Values:
        """Return logits of shape (N, C) for estimates of shape (N,)."""
        slopes, constants = self._lines()
        return np.asarray(estimates[:, None] * slopes + constants)

    def parameters(self, weights: Values, constant: float) -> Tensor:
        """Return the parameters of a head, shape (C, F + 1), bias last, whose estimate is weights·x + constant."""
        slopes, constants = self._lines()
        biases = slopes * constant + constants
        return torch.from_numpy(np.concatenate([slopes[:, None] * weights, biases[:, None]], 1))

    def _lines(self) -> tuple[Values, Values]:
        slopes = self.means / self.variance
        constants = self.prior - self.means**2 / (2 * self.variance)
        return slopes - slopes.mean(), constants - constants.mean()


@dataclass(frozen=True)
class StopsHyperparameters:
    """What cross-validation chose.

    Attributes:
        penalty: on the weights.
        offset: variance of the groups' offsets, in units of that of a single photograph.
        scale: how the estimates lie.
    """

    penalty: float
    offset: float
    scale: ClassDensity


def stops_task(
    features: Tensor, rows: Sequence[Row], target: TargetSpec, all_targets: Sequence[TargetSpec], training: Probe
) -> StopsData | None:
    """Return what a head is fitted to, or None if the target is not in stops.

    A photograph that lies between two classes counts too if another target in the same unit knows its stops.

    Args:
        features: shape (N, F).
        rows: of the same photographs.
        target: of the head.
        all_targets: of the data set.
        training: class weights.
    """
    if not is_stop_unit(target.unit):
        return None
    classes = class_numbers(rows, target)
    known = _stops(rows, [target, *(one for one in all_targets if one.unit == target.unit and one != target)])
    if not np.isfinite(known[classes >= 0]).all():
        return None  # people gave labels without a number
    if not (target.ordinal or set(range(len(target.classes))) <= set(classes)):
        return None  # and of a class without photographs nobody knows where it lies
    places = np.flatnonzero(np.isfinite(known))
    classes, stops = classes[places], known[places]
    low, high = np.quantile(stops, [_OUTERMOST, 1 - _OUTERMOST])
    groups = group_indices([row["group"] for row in rows])[places]
    return StopsData(
        features[places].numpy(), stops.clip(low, high), classes, _centres(target, classes, stops), groups, places,
        training.class_weights,
    )  # fmt: skip


def choose_by_folds(task: StopsData, training: Probe) -> tuple[StopsHyperparameters, Values, Tried]:
    """Choose penalty and offset by cross-validation in which no group is on two sides.

    Returns:
        What is best; what heads answer about photographs of groups that they were not fitted to, logits of shape
        (N, C); what was tried.
    """
    small = replace(task, features=reduced(torch.from_numpy(task.features))[0].numpy())
    tried: Tried = []
    found = []
    for offset in training.random_intercept_variances:
        for penalty, estimates in _out_of_fold(small, training.penalties, offset, training.folds).items():
            choice = StopsHyperparameters(penalty, offset, _scale(estimates, task))
            logits = choice.scale.logits(estimates)
            loss = _loss(logits, task)
            tried.append({"penalty": penalty, "random_intercept_variance": offset, "out_of_fold_loss": loss})
            found.append((loss, choice, logits))
    _, best, logits = min(found, key=itemgetter(0))
    return best, logits, tried


def fit_stops(task: StopsData, choice: StopsHyperparameters) -> Tensor:
    """Fit a head as was chosen; return its parameters, shape (C, F + 1), bias last."""
    weights, constants = _fit(task, [choice.penalty], choice.offset)
    return choice.scale.parameters(weights[0], float(constants[0]))


def _stops(rows: Sequence[Row], targets: Sequence[TargetSpec]) -> Values:
    """Return each row's stops, from the first of some targets that knows them."""
    stops = np.full(len(rows), np.nan)
    for target in targets:
        stops = np.where(np.isfinite(stops), stops, stops_of(rows, target))
    return stops


def _centres(target: TargetSpec, classes: NDArray[np.int64], stops: Values) -> Values:
    """Return the stops of each class: its nominal ones, or else the mean of its photographs."""
    if target.ordinal:
        return np.asarray(target.stops)
    return np.asarray([stops[classes == number].mean() for number in range(len(target.classes))])


def _out_of_fold(task: StopsData, penalties: Sequence[float], offset: float, folds: int) -> dict[float, Values]:
    """Return for each penalty what is estimated of photographs whose groups were held out."""
    estimates = np.zeros((len(task.stops), len(penalties)))
    for rest, held in grouped_folds(task.classes, task.groups, folds):
        weights, constants = _fit(task.some(rest), penalties, offset)
        estimates[held] = task.features[held] @ weights.T + constants
    return dict(zip(penalties, estimates.T, strict=True))


def _fit(task: StopsData, penalties: Sequence[float], offset: float) -> tuple[Values, Values]:
    """Return weights of shape (P, F) and constants of shape (P,), a row for each penalty."""
    centre, mean = task.features.mean(0), task.stops.mean()
    seen = _less_offsets(task.features - centre, task.groups, offset)
    wanted = _less_offsets(task.stops - mean, task.groups, offset)
    ridge = Ridge(alpha=np.asarray(penalties) * len(wanted), fit_intercept=False, solver="cholesky")
    weights = ridge.fit(seen, np.repeat(wanted[:, None], len(penalties), 1)).coef_.reshape(len(penalties), -1)
    return weights, mean - weights @ centre


def _less_offsets(values: Values, groups: NDArray[np.int64], offset: float) -> Values:
    """Take from each photograph the share of its group's mean that makes those of a group independent."""
    _, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, which, values)
    shares = (1 - 1 / np.sqrt(1 + offset * counts)) / counts
    return np.asarray(values - (sums * shares.reshape(-1, *[1] * (values.ndim - 1)))[which])


def _scale(estimates: Values, task: StopsData) -> ClassDensity:
    slope, constant = np.polyfit(task.stops, estimates, 1)
    if slope <= 0:  # nothing was learned, and a class is as good as another
        slope, constant = 0.0, estimates.mean()
    variance = float(np.var(estimates - slope * task.stops - constant))
    counts = np.bincount(task.classes[task.classes >= 0], minlength=len(task.centres)).astype(float)
    prior = np.log(np.maximum(counts > 0 if task.even else counts, _RARE))
    return ClassDensity(slope * task.centres + constant, max(variance, _LEAST_VARIANCE), prior)


def _loss(logits: Values, task: StopsData) -> float:
    """Return the mean cross-entropy of the photographs that have a class."""
    known = task.classes >= 0
    classes = task.classes[known]
    found = torch.log_softmax(torch.from_numpy(logits[known]), 1).numpy()[np.arange(len(classes)), classes]
    weights = 1 / np.bincount(classes)[classes] if task.even else np.ones(len(classes))
    return float(-(found * weights).sum() / weights.sum())
