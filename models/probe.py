"""A linear probe: features of a frozen trunk, computed once, and a penalised softmax regression a target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from labels.dataset import TargetSpec
from lightmeter import console
from models.cache import features_once
from models.data import Row, class_numbers, class_sets, stops_of
from models.fitted import Fitted, Work
from models.losses import bell
from models.predictor import Predictor
from models.recipe import Probe

_ITERATIONS = 100


@dataclass(frozen=True)
class HeadTask:
    """What one target's head is fitted to or judged by: the photographs of a split that have a label.

    Attributes:
        features: shape (N, F).
        truth: shares of the classes, shape (N, C); where a photograph can have several, 1 for each it has.
        weights: what each photograph counts, shape (N,).
        multiple: whether a photograph can have several classes at once.
    """

    features: Tensor
    truth: Tensor
    weights: Tensor
    multiple: bool = False


def fit_probe(predictor: Predictor, work: Work, training: Probe) -> Fitted:
    """Fit the heads of a predictor's network to frozen features.

    Args:
        predictor: whose network has ``features`` and ``heads``; the heads are filled in.
        work: what there is to fit.
        training: penalties and class weights.
    """
    fitted = Fitted()
    features, kept = {}, {}
    for split in ("train", "validation"):
        features[split], kept[split] = _features(predictor, work, split, fitted)
    standard = _standardised(features, predictor.network.get_submodule("heads"))
    penalties, logits = {}, {}
    for target in work.dataset.spec.targets:
        train, validation = (
            head_task(standard[split], kept[split], target, training) for split in ("train", "validation")
        )
        parameters, penalty, tried = choose_head(train, validation, training.penalties)
        fitted.history += [{"target": target.name, **one} for one in tried]
        console.current().note(f"{target.name}: penalty {penalty:g} is best on validation")
        for name, values in _head_state(target, parameters).items():
            predictor.network.get_parameter(name).data.copy_(values)
        if training.refit:
            both, rows = torch.cat(list(standard.values())), kept["train"] + kept["validation"]
            again = refit_head(head_task(both, rows, target, training), training.penalties, penalty)
            fitted.final |= _head_state(target, again)
        fitted.trained_parameters += parameters.numel()
        logits[target.name] = head_logits(parameters, standard["validation"]).float().numpy()
        penalties[target.name] = penalty
    fitted.calibrate(logits, kept["validation"], predictor.spec.targets)
    fitted.facts["penalties"] = penalties
    if training.refit:
        fitted.facts["refitted"] = "on training and validation together, after validation was scored"
    return fitted


def _standardised(features: Mapping[str, Tensor], heads: nn.Module) -> dict[str, Tensor]:
    """Return features less their mean in training, over their deviation there, which the heads are told."""
    centre = features["train"].mean(0)
    scale = features["train"].std(0, correction=0)
    scale[scale < 1e-6] = 1.0
    heads.get_buffer("centre").copy_(centre)
    heads.get_buffer("scale").copy_(scale)
    return {split: (values - centre) / scale for split, values in features.items()}


def _features(predictor: Predictor, work: Work, split: str, fitted: Fitted) -> tuple[Tensor, list[Row]]:
    """Return the features of every photograph that can be read, shape (N, F), and their rows."""
    inputs = features_once(predictor, work.dataset, work.rows[split])
    fitted.unreadable += inputs.unreadable
    return torch.from_numpy(inputs.take(np.arange(len(inputs)))["features"]).double(), list(inputs.rows)


def head_task(features: Tensor, rows: Sequence[Row], target: TargetSpec, training: Probe) -> HeadTask:
    """Return what a head is fitted to: features of shape (N, F) and the labels of the same photographs."""
    if target.multiple:
        sets = torch.from_numpy(class_sets(rows, target))
        known = sets[:, 0].isfinite()
        even = torch.ones(int(known.sum())).double()
        return HeadTask(features[known], sets[known], even / even.sum(), multiple=True)
    classes = torch.from_numpy(class_numbers(rows, target))
    known = classes >= 0
    truth = functional.one_hot(classes[known], len(target.classes)).double()
    if training.softness and target.ordinal:
        stops = torch.from_numpy(stops_of(rows, target))[known]
        truth = bell(stops, torch.tensor(target.stops, dtype=torch.float64), training.softness)
    counts = torch.bincount(classes[known], minlength=len(target.classes)).double()
    weights = 1 / counts[classes[known]] if training.class_weights else torch.ones(int(known.sum())).double()
    return HeadTask(features[known], truth, weights / weights.sum())


def choose_head(
    train: HeadTask, validation: HeadTask, penalties: Sequence[float]
) -> tuple[Tensor, float, list[dict[str, float]]]:
    """Fit a head with each penalty, strongest first.

    Returns:
        The parameters that are best on validation, shape (C, F + 1), bias last; their penalty; what was tried.
    """
    basis = _row_space(train.features)
    train, validation = (replace(task, features=task.features @ basis) for task in (train, validation))
    best, chosen, least = torch.empty(0), 0.0, float("inf")
    tried = []
    for penalty, parameters in _path(train, penalties):
        losses = [_loss(parameters, task).item() for task in (train, validation)]
        tried.append({"penalty": penalty, "train_loss": losses[0], "validation_loss": losses[1]})
        if losses[1] < least:
            best, chosen, least = parameters, penalty, losses[1]
    return _whole(best, basis), chosen, tried


def refit_head(task: HeadTask, penalties: Sequence[float], penalty: float) -> Tensor:
    """Fit a head with one of some penalties, coming from the stronger ones as `choose_head` does.

    Returns:
        Its parameters, shape (C, F + 1), bias last.
    """
    basis = _row_space(task.features)
    stronger = [one for one in penalties if one >= penalty]
    *_, (_, parameters) = _path(replace(task, features=task.features @ basis), stronger)
    return _whole(parameters, basis)


def _path(task: HeadTask, penalties: Sequence[float]) -> Iterator[tuple[float, Tensor]]:
    """Fit with each penalty, strongest first, each from the one before."""
    parameters = torch.zeros(task.truth.shape[1], task.features.shape[1] + 1, dtype=torch.float64)
    for penalty in sorted(penalties, reverse=True):
        parameters = _fit(parameters, task, penalty)
        yield penalty, parameters


def _whole(parameters: Tensor, basis: Tensor) -> Tensor:
    """Return parameters for features from those for features in a basis."""
    return torch.cat([parameters[:, :-1] @ basis.T, parameters[:, -1:]], 1)


def _head_state(target: TargetSpec, parameters: Tensor) -> dict[str, Tensor]:
    """Return a head's parameters under the names that they have in the network."""
    name = f"heads.targets.{target.name}"
    return {f"{name}.weight": parameters[:, :-1].float(), f"{name}.bias": parameters[:, -1].float()}


def _row_space(features: Tensor) -> Tensor:
    """Return an orthonormal basis of what features of shape (N, F) span, shape (F, min(N, F)).

    Penalised weights have no part outside of it (the representer theorem), so with more features than photographs the
    fit is the same in fewer dimensions.
    """
    count, width = features.shape
    if width <= count:
        return torch.eye(width, dtype=features.dtype)
    values, vectors = torch.linalg.eigh(features @ features.T)
    kept = values > values[-1] * 1e-10
    basis: Tensor = features.T @ (vectors[:, kept] / values[kept].sqrt())
    return basis


def _fit(start: Tensor, task: HeadTask, penalty: float) -> Tensor:
    parameters = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [parameters], max_iter=_ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimiser.zero_grad()
        loss = _loss(parameters, task)
        loss = loss + penalty / 2 * parameters[:, :-1].square().sum()
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    return parameters.detach()


def head_logits(parameters: Tensor, features: Tensor) -> Tensor:
    """Return logits of shape (N, C) for features of shape (N, F)."""
    return functional.linear(features, parameters[:, :-1], parameters[:, -1])


def _loss(parameters: Tensor, task: HeadTask) -> Tensor:
    """Cross-entropy between true and answered shares; with several classes at once, the mean of one a class."""
    logits = head_logits(parameters, task.features)
    if task.multiple:
        each = functional.binary_cross_entropy_with_logits(logits, task.truth, reduction="none")
        return (each.mean(1) * task.weights).sum()
    found = torch.log_softmax(logits, 1)
    return -((task.truth * found).sum(1) * task.weights).sum()
