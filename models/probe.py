"""A linear probe: features of a frozen trunk, computed once, and a penalised softmax regression a target."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labels.dataset import TargetSpec
from lightmeter import console
from models.cache import features_once
from models.data import Row
from models.fitted import Fitted, Work
from models.predictor import Predictor
from models.recipe import Probe
from models.regression import choose_head, cross_validated, fit_head, head_logits, head_task


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
    fit = _chosen_by_folds if training.folds else _chosen_by_validation
    penalties, logits = {}, {}
    for target in work.dataset.spec.targets:
        parameters, penalties[target.name], logits[target.name] = fit(standard, kept, target, training, fitted)
        console.current().note(f"{target.name}: penalty {penalties[target.name]:g} is best")
        for name, values in _head_state(target, parameters).items():
            predictor.network.get_parameter(name).data.copy_(values)
        fitted.trained_parameters += parameters.numel()
    rows = kept["train"] + kept["validation"] if training.folds else kept["validation"]
    fitted.calibrate(logits, rows, predictor.spec.targets)
    fitted.facts["penalties"] = penalties
    if training.folds:
        fitted.facts["refitted"] = "on training and validation together, after validation was scored"
    return fitted


Chosen = tuple[Tensor, float, NDArray[np.float32]]
"""Parameters of a head fitted to training, its penalty, and the logits by which to calibrate."""


def _chosen_by_validation(
    standard: Mapping[str, Tensor], kept: Mapping[str, list[Row]], target: TargetSpec, training: Probe, fitted: Fitted
) -> Chosen:
    train, validation = (head_task(standard[split], kept[split], target, training) for split in ("train", "validation"))
    parameters, penalty, tried = choose_head(train, validation, training.penalties)
    fitted.history += [{"target": target.name, **one} for one in tried]
    return parameters, penalty, head_logits(parameters, standard["validation"]).float().numpy()


def _chosen_by_folds(
    standard: Mapping[str, Tensor], kept: Mapping[str, list[Row]], target: TargetSpec, training: Probe, fitted: Fitted
) -> Chosen:
    """Choose over training and validation together; the head that is fitted to both is kept for the end."""
    both = head_task(torch.cat(list(standard.values())), kept["train"] + kept["validation"], target, training)
    penalty, out_of_fold, tried = cross_validated(both, training.penalties, training.folds)
    fitted.history += [{"target": target.name, **one} for one in tried]
    fitted.final |= _head_state(target, fit_head(both, training.penalties, penalty))
    logits = np.full((sum(map(len, kept.values())), len(target.classes)), np.nan, np.float32)
    logits[both.places] = out_of_fold.float().numpy()
    train = head_task(standard["train"], kept["train"], target, training)
    return fit_head(train, training.penalties, penalty), penalty, logits


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


def _head_state(target: TargetSpec, parameters: Tensor) -> dict[str, Tensor]:
    """Return a head's parameters under the names that they have in the network."""
    name = f"heads.targets.{target.name}"
    return {f"{name}.weight": parameters[:, :-1].float(), f"{name}.bias": parameters[:, -1].float()}
