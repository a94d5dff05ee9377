"""Data of a linear head, and penalised softmax regression."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from lightmeter.bootstrap import group_indices
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.training.data.loader import Row, class_matrix, class_numbers, stops_of
from lightmeter.models.training.methods import Probe
from lightmeter.models.training.network.losses import gaussian_soft_targets

_ITERATIONS = 100


@dataclass(frozen=True)
class HeadData:
    """Labelled photographs of one target.

    Attributes:
        features: Features, float64 of shape (N, F).
        truth: Class shares, shape (N, C); for multilabel targets 1 for each class of a photograph. A photograph between
            the classes has zeros.
        weights: Weight of each photograph in the loss, shape (N,), with sum 1.
        classes: Class index of each photograph, −1 between the classes, shape (N,).
        groups: Group number of each photograph, shape (N,).
        indices: Index of each photograph among all rows, shape (N,).
        stops: Setting in stops, shape (N,); empty where the head is no regression.
        multilabel: Whether a photograph can have several classes at once.
    """

    features: Tensor
    truth: Tensor
    weights: Tensor
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    indices: NDArray[np.int64]
    stops: NDArray[np.float64]
    multilabel: bool = False

    def subset(self, which: NDArray[np.int64]) -> "HeadData":
        """Return some of the photographs, with weights of sum 1."""
        weights = self.weights[which]
        arrays = {name: values[which] for name, values in vars(self).items() if name != "multilabel" and len(values)}
        return replace(self, **{**arrays, "weights": weights / weights.sum()})

    def loss(self, logits: Tensor) -> Tensor:
        """Return the weighted cross-entropy for logits of shape (N, C); the mean binary one if multilabel."""
        if self.multilabel:
            losses = functional.binary_cross_entropy_with_logits(logits, self.truth, reduction="none").mean(1)
        else:
            losses = -(self.truth * torch.log_softmax(logits, 1)).sum(1)
        return (losses * self.weights).sum()


class SoftmaxRegression:
    """L2-penalised softmax regression for several penalties; logistic regressions for multilabel targets.

    Args:
        penalties: Strengths of the penalty.

    Attributes:
        candidates: Hyperparameters of each fit, the strongest penalty first.
        parameters: Fitted parameters, shape (P, C, F + 1) with the bias last.
    """

    parameters: Tensor

    def __init__(self, penalties: Sequence[float]) -> None:
        self.penalties = sorted(penalties, reverse=True)
        self.candidates = [{"penalty": penalty} for penalty in self.penalties]

    def select(self, index: int) -> "SoftmaxRegression":
        """Return an estimator whose last candidate is the selected one; each fit starts from a stronger penalty."""
        return SoftmaxRegression(self.penalties[: index + 1])

    def fit(self, data: HeadData) -> "SoftmaxRegression":
        """Fit with each penalty, each from the solution of the one before."""
        features, restore = reduce_features(data.features)
        reduced = replace(data, features=features)
        parameters = torch.zeros(data.truth.shape[1], features.shape[1] + 1, dtype=torch.float64)
        fitted = []
        for penalty in self.penalties:
            parameters = _minimise(parameters, reduced, penalty)
            fitted.append(restore(parameters))
        self.parameters = torch.stack(fitted)
        return self

    def outputs(self, features: Tensor) -> Tensor:
        """Return logits of shape (P, N, C) for features of shape (N, F)."""
        return torch.stack([linear_logits(parameters, features) for parameters in self.parameters])

    def calibrate(self, outputs: Tensor, data: HeadData) -> Tensor:
        """Return logits for out-of-fold outputs; they are the same."""
        return outputs


def softmax_data(features: Tensor, rows: Sequence[Row], target: TargetSpec, training: Probe) -> HeadData:
    """Return the labelled photographs of a target.

    Args:
        features: Features of all photographs, shape (N, F).
        rows: Manifest rows of the same photographs.
        target: Target of the head.
        training: Class weights and soft targets.
    """
    if target.multilabel:
        matrix = torch.from_numpy(class_matrix(rows, target))
        indices = np.flatnonzero(matrix[:, 0].isfinite())
        truth = matrix[indices]
        weights = torch.ones(len(indices)).double() / len(indices)
    else:
        numbers = class_numbers(rows, target)
        indices = np.flatnonzero(numbers >= 0)
        class_weights = training.weights_classes(target.name)
        truth, weights = hard_targets(numbers[indices], len(target.classes), class_weights=class_weights)
    if training.soft_target_std and target.ordinal:
        stops = torch.from_numpy(stops_of(rows, target)[indices])
        truth = gaussian_soft_targets(stops, torch.tensor(target.stops, dtype=torch.float64), training.soft_target_std)
    return HeadData(
        features[indices],
        truth,
        weights,
        classes=truth.argmax(1).numpy(),
        groups=group_indices([row["group"] for row in rows])[indices],
        indices=indices,
        stops=np.empty(0),
        multilabel=target.multilabel,
    )


def hard_targets(classes: NDArray[np.int64], count: int, *, class_weights: bool) -> tuple[Tensor, Tensor]:
    """Return one-hot class shares and weights of sum 1; both are zero where the class is −1."""
    labelled = torch.from_numpy(classes >= 0)
    numbers = torch.from_numpy(classes).clamp(min=0)
    truth = functional.one_hot(numbers, count).double() * labelled[:, None]
    weights = labelled / truth.sum(0)[numbers] if class_weights else labelled.double()
    weights = weights.nan_to_num(0.0, posinf=0.0)
    return truth, weights / weights.sum()


def linear_logits(parameters: Tensor, features: Tensor) -> Tensor:
    """Return logits of shape (N, C) for parameters of shape (C, F + 1) and features of shape (N, F)."""
    return functional.linear(features, parameters[:, :-1], parameters[:, -1])


def grouped_folds(data: HeadData, folds: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield indices to fit and to hold out: whole groups, stratified by class."""
    largest_class = int(np.unique(data.classes, return_counts=True)[1].max())
    count = max(2, min(folds, len(np.unique(data.groups)), largest_class))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # it is missing from some folds then
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        yield from splitter.split(data.classes, data.classes, data.groups)


def reduce_features(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return features of shape (N, F) in an orthonormal basis of their span, and a function that restores parameters.

    Penalised weights have no component outside the span (representer theorem), so with more features than photographs
    the fit is the same in fewer dimensions.
    """
    count, width = features.shape
    if width <= count:
        return features, lambda parameters: parameters
    values, vectors = torch.linalg.eigh(features @ features.T)
    positive = values > values[-1] * 1e-10
    vectors, lengths = vectors[:, positive], values[positive].sqrt()

    def restore(parameters: Tensor) -> Tensor:
        return torch.cat([parameters[:, :-1] / lengths @ vectors.T @ features, parameters[:, -1:]], 1)

    return vectors * lengths, restore


def _minimise(start: Tensor, data: HeadData, penalty: float) -> Tensor:
    parameters = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [parameters], max_iter=_ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimiser.zero_grad()
        loss = data.loss(linear_logits(parameters, data.features))
        loss = loss + penalty / 2 * parameters[:, :-1].square().sum()
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    return parameters.detach()
