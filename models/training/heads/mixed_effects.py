"""Linear mixed model for targets in stops: regression with a random intercept for each group of photographs.

The photographs of one photographer share cameras, light and editing, which says little about other photographers but
explains his own settings. So each group has a random intercept: y = c + w·x + u + e (N. M. Laird and J. H. Ware,
"Random-effects models for longitudinal data", Biometrics 38, 1982). For given variances the model is fitted by
generalised least squares, which with one random intercept subtracts a part of the group mean from each photograph
(W. A. Fuller and G. E. Battese, "Transformations for estimation of linear models with nested-error structure", JASA 68,
1973), here with an L2 penalty on w. For a new group the intercept is zero.

Class probabilities follow from the distribution of the estimates for true stops (C. Eisenhart, "The interpretation of
certain regression methods", Annals of Mathematical Statistics 10, 1939): normal, around a line. That is a softmax of
linear logits, so the head in the network is linear as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from lightmeter.bootstrap import group_indices
from lightmeter.exposure import is_stop_unit
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.training.data.loader import Row, class_numbers, stops_of
from lightmeter.models.training.heads.softmax import HeadData, hard_targets
from lightmeter.models.training.methods import Probe

Values = NDArray[np.float64]

_CLIPPED_SHARE = 0.01  # of the photographs at either end, whose stops are clipped
_MIN_VARIANCE = 1e-9
_MIN_COUNT = 0.01  # photographs, for classes that have none


@dataclass(frozen=True)
class ClassDensity:
    """Normal distribution of the estimates in each class.

    Attributes:
        means: Mean estimate of each class, shape (C,).
        variance: Common variance.
        prior: Logarithm of the prior weight of each class, shape (C,).
    """

    means: Values
    variance: float
    prior: Values

    @classmethod
    def fit(cls, estimates: Values, data: HeadData, centres: Values, *, class_weights: bool) -> "ClassDensity":
        """Fit the distribution to out-of-fold estimates of shape (N,)."""
        slope, constant = np.polyfit(data.stops, estimates, 1)
        if slope <= 0:  # nothing was learned: no class is preferred
            slope, constant = 0.0, estimates.mean()
        variance = float(np.var(estimates - slope * data.stops - constant))
        counts = data.truth.sum(0).numpy()
        prior = np.log(np.maximum(counts > 0 if class_weights else counts, _MIN_COUNT))
        return cls(slope * centres + constant, max(variance, _MIN_VARIANCE), prior)

    def linear(self) -> tuple[Values, Values]:
        """Return slopes and intercepts of the logits as functions of the estimate, each of shape (C,)."""
        slopes = self.means / self.variance
        intercepts = self.prior - self.means**2 / (2 * self.variance)
        return slopes - slopes.mean(), intercepts - intercepts.mean()

    def logits(self, estimates: Values) -> Tensor:
        """Return logits of shape (N, C) for estimates of shape (N,)."""
        slopes, intercepts = self.linear()
        return torch.from_numpy(estimates[:, None] * slopes + intercepts)


class MixedEffectsRegression:
    """Ridge regression on stops with a random intercept for each group, for several hyperparameters.

    Args:
        centres: Stops of each class, shape (C,).
        penalties: Strengths of the penalty on the weights.
        variances: Variances of the random intercept, in units of the residual variance.
        class_weights: Whether all classes have the same prior.

    Attributes:
        candidates: Hyperparameters of each fit.
        weights: Fitted weights, shape (P, F).
        intercepts: Fitted intercepts, shape (P,).
        densities: Distribution of the estimates of each candidate, after `calibrate`.
    """

    weights: Values
    intercepts: Values
    densities: list[ClassDensity]

    def __init__(
        self, centres: Values, penalties: Sequence[float], variances: Sequence[float], *, class_weights: bool
    ) -> None:
        self.centres, self.penalties, self.variances = centres, penalties, variances
        self.class_weights = class_weights
        self.candidates = [
            {"penalty": penalty, "random_intercept_variance": variance}
            for variance in variances
            for penalty in penalties
        ]

    def select(self, index: int) -> "MixedEffectsRegression":
        """Return an estimator of the selected candidate alone, with its distribution of estimates."""
        penalty, variance = self.candidates[index].values()
        selected = MixedEffectsRegression(self.centres, [penalty], [variance], class_weights=self.class_weights)
        selected.densities = [self.densities[index]]
        return selected

    def fit(self, data: HeadData) -> "MixedEffectsRegression":
        """Fit weights and intercepts with each candidate."""
        features = data.features.numpy()
        fits = [self._fit(features, data.stops, data.groups, variance) for variance in self.variances]
        self.weights = np.concatenate([weights for weights, _ in fits])
        self.intercepts = np.concatenate([intercepts for _, intercepts in fits])
        return self

    def _fit(
        self, features: Values, stops: Values, groups: NDArray[np.int64], variance: float
    ) -> tuple[Values, Values]:
        """Fit weights of shape (P, F) and intercepts of shape (P,) for one variance, by generalised least squares.

        The column of ones is transformed like the others, and then projected out because it is not penalised.
        """
        ones = _remove_group_effect(np.ones(len(stops)), groups, variance)
        x, y = (_remove_group_effect(values, groups, variance) for values in (features, stops))
        mean_x, mean_y = ones @ x / (ones @ ones), ones @ y / (ones @ ones)
        ridge = Ridge(alpha=np.asarray(self.penalties) * len(y), fit_intercept=False, solver="cholesky")
        residual = y - ones * mean_y
        ridge.fit(x - ones[:, None] * mean_x, np.repeat(residual[:, None], len(self.penalties), 1))
        weights = ridge.coef_.reshape(len(self.penalties), -1)
        return weights, mean_y - weights @ mean_x

    def outputs(self, features: Tensor) -> Tensor:
        """Return estimated stops, shape (P, N, 1)."""
        estimates = features.numpy() @ self.weights.T + self.intercepts
        return torch.from_numpy(estimates.T[:, :, None])

    def calibrate(self, outputs: Tensor, data: HeadData) -> Tensor:
        """Fit the class densities to out-of-fold outputs of shape (P, N, 1); return logits of shape (P, N, C)."""
        estimates = [values[:, 0].numpy() for values in outputs]
        self.densities = [
            ClassDensity.fit(values, data, self.centres, class_weights=self.class_weights) for values in estimates
        ]
        return torch.stack([d.logits(values) for d, values in zip(self.densities, estimates, strict=True)])

    @property
    def parameters(self) -> Tensor:
        """Parameters of the equivalent linear heads, shape (P, C, F + 1) with the bias last."""
        heads = []
        for density, weights, intercept in zip(self.densities, self.weights, self.intercepts, strict=True):
            slopes, constants = density.linear()
            biases = slopes * intercept + constants
            heads.append(np.concatenate([slopes[:, None] * weights, biases[:, None]], 1))
        return torch.from_numpy(np.stack(heads))


def mixed_effects_head(
    features: Tensor, rows: Sequence[Row], target: TargetSpec, targets: Sequence[TargetSpec], training: Probe
) -> tuple[MixedEffectsRegression, HeadData] | None:
    """Return an unfitted estimator and its data, or None if the target is not in stops.

    Photographs between two classes are included if another target in the same unit has their stops.

    Args:
        features: Features of all photographs, shape (N, F).
        rows: Manifest rows of the same photographs.
        target: Target of the head.
        targets: All targets of the data set.
        training: Hyperparameters.
    """
    if not is_stop_unit(target.unit):
        return None
    classes = class_numbers(rows, target)
    stops = stops_of(rows, target)
    for other in targets:
        if other.unit == target.unit and other != target:
            stops = np.where(np.isfinite(stops), stops, stops_of(rows, other))
    if not np.isfinite(stops[classes >= 0]).all():
        return None  # some labels were given without a number
    if not (target.ordinal or set(range(len(target.classes))) <= set(classes)):
        return None  # the stops of a class without photographs are unknown
    indices = np.flatnonzero(np.isfinite(stops))
    classes, stops = classes[indices], stops[indices]
    centres = [stops[classes == number].mean() for number in range(len(target.classes))] if not target.ordinal else []
    class_weights = training.weights_classes(target.name)
    head = MixedEffectsRegression(
        np.asarray(target.stops or centres),
        training.penalties,
        training.random_intercept_variances,
        class_weights=class_weights,
    )
    truth, weights = hard_targets(classes, len(target.classes), class_weights=class_weights)
    low, high = np.quantile(stops, [_CLIPPED_SHARE, 1 - _CLIPPED_SHARE])
    groups = group_indices([row["group"] for row in rows])[indices]
    return head, HeadData(features[indices], truth, weights, classes, groups, indices, stops.clip(low, high))


def _remove_group_effect(values: Values, groups: NDArray[np.int64], variance: float) -> Values:
    """Subtract the part of the group mean that makes the photographs of a group independent."""
    _, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, numbers, values)
    shares = (1 - 1 / np.sqrt(1 + variance * counts)) / counts
    return np.asarray(values - (sums * shares.reshape(-1, *[1] * (values.ndim - 1)))[numbers])
