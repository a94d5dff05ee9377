"""A linear probe: features of a frozen trunk, computed once, and a penalised softmax regression a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightmeter import console
from lightmeter.labels.datasets.dataset import TargetSpec
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.feature_cache import cached_features
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.heads.mixed_effects import StopsData, choose_by_folds, fit_stops, stops_task
from lightmeter.models.training.heads.softmax import (
    HeadData,
    Tried,
    choose_head,
    cross_validated,
    fit_head,
    head_logits,
    head_task,
)
from lightmeter.models.training.loader import Row
from lightmeter.models.training.recipe import Probe

_PLURAL = {"penalty": "penalties", "random_intercept_variance": "random_intercept_variances"}


def fit_probe(predictor: Predictor, work: FitJob, training: Probe) -> FitResult:
    """Fit the heads of a predictor's network to frozen features.

    Args:
        predictor: whose network has ``features`` and ``heads``; the heads are filled in.
        work: what there is to fit.
        training: penalties and class weights.
    """
    fitted = FitResult()
    features, kept = {}, {}
    for split in ("train", "validation"):
        features[split], kept[split] = _features(predictor, work, split, fitted)
    heads = predictor.network.get_submodule("heads")
    standard, centre, scale = standardised(features)
    heads.get_buffer("centre").copy_(centre)
    heads.get_buffer("scale").copy_(scale)
    logits, chosen = {}, {}
    for target in work.dataset.spec.targets:
        found = choose(standard, kept, target, work.dataset.spec.targets, training)
        told = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found.facts.items())
        console.get_console().note(f"{target.name}: {told} is best")
        for name, parameters in _head_state(target, found.parameters).items():
            predictor.network.get_parameter(name).data.copy_(parameters)
        if found.final is not None:
            fitted.final |= _head_state(target, found.final)
        fitted.history += [{"target": target.name, **one} for one in found.tried]
        fitted.trained_parameters += found.parameters.numel()
        logits[target.name], chosen[target.name] = found.logits, found.facts
    rows = kept["train"] + kept["validation"] if training.folds else kept["validation"]
    fitted.calibrate(logits, rows, predictor.spec.targets)
    for fact in ("penalty", "random_intercept_variance"):
        values = {target: facts[fact] for target, facts in chosen.items() if fact in facts}
        if values:
            fitted.facts[_PLURAL[fact]] = values
    if training.folds:
        fitted.facts["refitted"] = "on training and validation together, after validation was scored"
    return fitted


@dataclass(frozen=True)
class SelectedHead:
    """A head that was chosen.

    Attributes:
        parameters: fitted to training.
        logits: by which to calibrate: of all rows of both splits if folds chose, else of those of validation.
        facts: of the choice.
        tried: what it was chosen from.
        final: fitted to training and validation, if folds chose.
    """

    parameters: Tensor
    logits: NDArray[np.float32]
    facts: dict[str, float]
    tried: Tried
    final: Tensor | None = None


def choose(
    standard: Mapping[str, Tensor],
    kept: Mapping[str, list[Row]],
    target: TargetSpec,
    all_targets: Sequence[TargetSpec],
    training: Probe,
) -> SelectedHead:
    """Choose a target's head.

    Args:
        standard: features of shape (N, F), standardised, of ``train`` and ``validation``.
        kept: the rows of the same photographs.
        target: of the head.
        all_targets: of the data set.
        training: how to choose.
    """
    if not training.folds:
        return _chosen_by_validation(standard, kept, target, training)
    features, rows = torch.cat(list(standard.values())), [row for some in kept.values() for row in some]
    training_ends = len(kept["train"])
    if training.random_intercept_variances:
        stops = stops_task(features, rows, target, all_targets, training)
        if stops:
            return _stops_by_folds(stops, len(rows), training_ends, training)
    return _chosen_by_folds(head_task(features, rows, target, training), len(rows), training_ends, training)


def standardised(features: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return the features of each split less their mean in training, over their deviation there; that mean; that."""
    centre = features["train"].mean(0)
    scale = features["train"].std(0, correction=0)
    scale[scale < 1e-6] = 1.0
    return {split: (values - centre) / scale for split, values in features.items()}, centre, scale


def _chosen_by_validation(
    standard: Mapping[str, Tensor], kept: Mapping[str, list[Row]], target: TargetSpec, training: Probe
) -> SelectedHead:
    train, validation = (head_task(standard[split], kept[split], target, training) for split in ("train", "validation"))
    parameters, penalty, tried = choose_head(train, validation, training.penalties)
    logits = head_logits(parameters, standard["validation"]).float().numpy()
    return SelectedHead(parameters, logits, {"penalty": penalty}, tried)


def _chosen_by_folds(both: HeadData, count: int, training_ends: int, training: Probe) -> SelectedHead:
    """Choose over training and validation together; the head that is fitted to both is kept for the end."""
    penalty, out_of_fold, tried = cross_validated(both, training.penalties, training.folds)
    train = both.some(np.flatnonzero(both.places < training_ends))
    first, final = (fit_head(task, training.penalties, penalty) for task in (train, both))
    return SelectedHead(first, _spread(out_of_fold.numpy(), both.places, count), {"penalty": penalty}, tried, final)


def _stops_by_folds(both: StopsData, count: int, training_ends: int, training: Probe) -> SelectedHead:
    """Do the same for a target in stops."""
    choice, out_of_fold, tried = choose_by_folds(both, training)
    train = both.some(np.flatnonzero(both.places < training_ends))
    first, final = (fit_stops(task, choice) for task in (train, both))
    facts = {"penalty": choice.penalty, "random_intercept_variance": choice.offset}
    return SelectedHead(first, _spread(out_of_fold, both.places, count), facts, tried, final)


def _spread(logits: NDArray[np.float64], places: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return logits at their places among all rows, NaN elsewhere."""
    spread = np.full((count, logits.shape[1]), np.nan, np.float32)
    spread[places] = logits
    return spread


def _features(predictor: Predictor, work: FitJob, split: str, fitted: FitResult) -> tuple[Tensor, list[Row]]:
    """Return the features of every photograph that can be read, shape (N, F), and their rows."""
    inputs = cached_features(predictor, work.dataset, work.rows[split])
    fitted.unreadable += inputs.unreadable
    return torch.from_numpy(inputs.take(np.arange(len(inputs)))["features"]).double(), list(inputs.rows)


def _head_state(target: TargetSpec, parameters: Tensor) -> dict[str, Tensor]:
    """Return a head's parameters under the names that they have in the network."""
    name = f"heads.targets.{target.name}"
    return {f"{name}.weight": parameters[:, :-1].float(), f"{name}.bias": parameters[:, -1].float()}
