"""Penalised softmax regression on features, and how its penalty is chosen."""

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
from lightmeter.labels.datasets.dataset import TargetSpec
from lightmeter.models.training.loader import Row, class_numbers, class_sets, stops_of
from lightmeter.models.training.losses import gaussian_soft_targets
from lightmeter.models.training.recipe import Probe

_ITERATIONS = 100

Tried = list[dict[str, float]]


@dataclass(frozen=True)
class HeadData:
    """What one target's head is fitted to or judged by: the photographs of a split that have a label.

    Attributes:
        features: shape (N, F).
        truth: shares of the classes, shape (N, C); where a photograph can have several, 1 for each it has.
        weights: what each photograph counts, shape (N,).
        groups: of photographs that belong together, shape (N,).
        places: of the photographs among all rows, shape (N,).
        multiple: whether a photograph can have several classes at once.
    """

    features: Tensor
    truth: Tensor
    weights: Tensor
    groups: NDArray[np.int64]
    places: NDArray[np.int64]
    multiple: bool = False

    def some(self, which: NDArray[np.int64]) -> "HeadData":
        """Return the task of some of the photographs."""
        weights = self.weights[which]
        return HeadData(
            self.features[which],
            self.truth[which],
            weights / weights.sum(),
            self.groups[which],
            self.places[which],
            self.multiple,
        )


def head_task(features: Tensor, rows: Sequence[Row], target: TargetSpec, training: Probe) -> HeadData:
    """Return what a head is fitted to: features of shape (N, F) and the labels of the same photographs."""
    groups = group_indices([row["group"] for row in rows])
    if target.multilabel:
        sets = torch.from_numpy(class_sets(rows, target))
        places = np.flatnonzero(sets[:, 0].isfinite())
        even = torch.ones(len(places)).double()
        return HeadData(features[places], sets[places], even / even.sum(), groups[places], places, multiple=True)
    numbers = class_numbers(rows, target)
    places = np.flatnonzero(numbers >= 0)
    classes = torch.from_numpy(numbers[places])
    truth = functional.one_hot(classes, len(target.classes)).double()
    if training.soft_target_std and target.ordinal:
        stops = torch.from_numpy(stops_of(rows, target)[places])
        truth = gaussian_soft_targets(stops, torch.tensor(target.stops, dtype=torch.float64), training.soft_target_std)
    counts = torch.bincount(classes, minlength=len(target.classes)).double()
    weights = 1 / counts[classes] if training.class_weights else torch.ones(len(places)).double()
    return HeadData(features[places], truth, weights / weights.sum(), groups[places], places)


def choose_head(train: HeadData, validation: HeadData, penalties: Sequence[float]) -> tuple[Tensor, float, Tried]:
    """Fit a head with each penalty, strongest first.

    Returns:
        The parameters that are best on validation, shape (C, F + 1), bias last; their penalty; what was tried.
    """
    best, chosen, least = torch.empty(0), 0.0, float("inf")
    tried = []
    for penalty, parameters in _path(train, penalties):
        losses = [_loss(head_logits(parameters, task.features), task).item() for task in (train, validation)]
        tried.append({"penalty": penalty, "train_loss": losses[0], "validation_loss": losses[1]})
        if losses[1] < least:
            best, chosen, least = parameters, penalty, losses[1]
    return best, chosen, tried


def cross_validated(task: HeadData, penalties: Sequence[float], folds: int) -> tuple[float, Tensor, Tried]:
    """Choose a penalty by cross-validation in which no group is on two sides.

    Returns:
        The penalty; what heads answer about photographs of groups that they were not fitted to, logits of shape (N, C);
        what was tried.
    """
    small = replace(task, features=reduced(task.features)[0])
    logits = {penalty: torch.zeros_like(task.truth) for penalty in sorted(penalties, reverse=True)}
    for rest, held in grouped_folds(task.truth.argmax(1).numpy(), task.groups, folds):
        for penalty, parameters in _path(small.some(rest), penalties):
            logits[penalty][held] = head_logits(parameters, small.features[held])
    losses = {penalty: _loss(found, task).item() for penalty, found in logits.items()}
    chosen = min(losses, key=losses.__getitem__)
    return chosen, logits[chosen], [{"penalty": p, "out_of_fold_loss": loss} for p, loss in losses.items()]


def fit_head(task: HeadData, penalties: Sequence[float], penalty: float) -> Tensor:
    """Fit a head with one of some penalties, coming from the stronger ones as in choosing it.

    Returns:
        Its parameters, shape (C, F + 1), bias last.
    """
    *_, (_, parameters) = _path(task, [one for one in penalties if one >= penalty])
    return parameters


def head_logits(parameters: Tensor, features: Tensor) -> Tensor:
    """Return logits of shape (N, C) for features of shape (N, F)."""
    return functional.linear(features, parameters[:, :-1], parameters[:, -1])


def grouped_folds(
    classes: NDArray[np.int64], groups: NDArray[np.int64], folds: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield who is fitted to and who is held out: whole groups, the classes as even as they can be."""
    most = int(np.unique(classes, return_counts=True)[1].max())
    count = max(2, min(folds, len(np.unique(groups)), most))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # it is absent from some folds then
        yield from StratifiedGroupKFold(count, shuffle=True, random_state=0).split(classes, classes, groups)


def _path(task: HeadData, penalties: Sequence[float]) -> Iterator[tuple[float, Tensor]]:
    """Fit with each penalty, strongest first, each from the one before."""
    features, whole = reduced(task.features)
    small = replace(task, features=features)
    parameters = torch.zeros(task.truth.shape[1], features.shape[1] + 1, dtype=torch.float64)
    for penalty in sorted(penalties, reverse=True):
        parameters = _fit(parameters, small, penalty)
        yield penalty, whole(parameters)


def reduced(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return features of shape (N, F) in an orthonormal basis of what they span, and the way back for parameters.

    Penalised weights have no part outside of it (the representer theorem), so with more features than photographs the
    fit is the same in fewer dimensions.
    """
    count, width = features.shape
    if width <= count:
        return features, lambda parameters: parameters
    values, vectors = torch.linalg.eigh(features @ features.T)
    kept = values > values[-1] * 1e-10
    vectors, lengths = vectors[:, kept], values[kept].sqrt()

    def whole(parameters: Tensor) -> Tensor:
        return torch.cat([parameters[:, :-1] / lengths @ vectors.T @ features, parameters[:, -1:]], 1)

    return vectors * lengths, whole


def _fit(start: Tensor, task: HeadData, penalty: float) -> Tensor:
    parameters = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [parameters], max_iter=_ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimiser.zero_grad()
        loss = _loss(head_logits(parameters, task.features), task)
        loss = loss + penalty / 2 * parameters[:, :-1].square().sum()
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    return parameters.detach()


def _loss(logits: Tensor, task: HeadData) -> Tensor:
    """Cross-entropy between true and answered shares; with several classes at once, the mean of one a class."""
    if task.multiple:
        each = functional.binary_cross_entropy_with_logits(logits, task.truth, reduction="none")
        return (each.mean(1) * task.weights).sum()
    found = torch.log_softmax(logits, 1)
    return -((task.truth * found).sum(1) * task.weights).sum()
