"""Linear probe: features of a frozen backbone, computed once, and a penalised linear head for each target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.data.feature_cache import cached_outputs
from lightmeter.models.training.data.loader import Row
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.heads.mixed_effects import MixedEffectsRegression, mixed_effects_head
from lightmeter.models.training.heads.softmax import (
    HeadData,
    SoftmaxRegression,
    grouped_folds,
    linear_logits,
    reduce_features,
    softmax_data,
)
from lightmeter.models.training.methods import Probe
from lightmeter.terminal import console

Estimator = SoftmaxRegression | MixedEffectsRegression

Parts = Mapping[str, Sequence[int]]
"""Widths of the parts of features, in their order."""

_FACTS = {"penalty": "penalties", "random_intercept_variance": "random_intercept_variances"}
_MIN_STD = 1e-6


def fit_probe(predictor: Predictor, job: FitJob, training: Probe) -> FitResult:
    """Fit the heads of a network to features of its frozen backbone.

    Args:
        predictor: Its network has ``features`` and ``heads``; the heads are filled in place.
        job: Data and seed.
        training: Hyperparameters.
    """
    result = FitResult()
    features, rows = {}, {}
    for split in ("train", "validation"):
        inputs = result.inputs[split] = cached_outputs(
            predictor, "features", job.dataset, job.rows[split], job.executor
        )
        result.unreadable += inputs.unreadable
        features[split] = torch.from_numpy(inputs.all()["features"]).double()
        rows[split] = list(inputs.rows)
    result.facts["waiting_share"] = round(result.inputs["train"].waiting_share, 3)
    standard, centre, scale = standardise(features) if training.standardise else unscaled(features)
    heads = predictor.network.get_submodule("heads")
    heads.get_buffer("centre").copy_(centre)
    heads.get_buffer("scale").copy_(scale)
    parts: Parts = getattr(predictor.network, "parts", {})
    logits = {}
    for target in job.dataset.spec.targets:
        head = fit_head(standard, rows, target, job.dataset.spec.targets, training, parts)
        settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in head.hyperparameters.items())
        console.get_console().note(f"{target.name}: selected {settings}")
        for name, parameters in _named_parameters(target, head.parameters).items():
            predictor.network.get_parameter(name).data.copy_(parameters)
        if head.final is not None:
            result.final |= _named_parameters(target, head.final)
        result.history += [{"target": target.name, **row} for row in head.history]
        result.trained_parameters += head.parameters.numel()
        for name, value in head.hyperparameters.items():
            result.facts.setdefault(_FACTS[name], {})[target.name] = value
        logits[target.name] = head.logits.float().numpy()
    calibration_rows = rows["train"] + rows["validation"] if training.folds else rows["validation"]
    result.calibrate(logits, calibration_rows, predictor.spec.targets)
    if training.folds:
        result.facts["refitted"] = "on training and validation together, after validation was scored"
    return result


def standardise(features: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Tensor, Tensor]:
    """Return the features of each split standardised by the training split, its mean and its standard deviation."""
    centre = features["train"].mean(0)
    scale = features["train"].std(0, correction=0)
    scale[scale < _MIN_STD] = 1.0
    return {split: (values - centre) / scale for split, values in features.items()}, centre, scale


def unscaled(features: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Tensor, Tensor]:
    """Return the features of each split as they are, a mean of 0 and a standard deviation of 1."""
    width = features["train"].shape[1]
    return features, torch.zeros(width), torch.ones(width)


@dataclass(frozen=True)
class SelectedHead:
    """A head with selected hyperparameters.

    Attributes:
        hyperparameters: The selected ones.
        history: Loss of each candidate.
        logits: Logits for calibration, shape (N, C), NaN for unlabelled rows: of both splits, out of fold, if folds
            were used, else of validation.
        parameters: Fitted to training, shape (C, F + 1) with the bias last.
        final: Fitted to training and validation, if folds were used.
    """

    hyperparameters: dict[str, float]
    history: list[dict[str, float]] = field(repr=False)
    logits: Tensor = field(repr=False)
    parameters: Tensor = field(repr=False)
    final: Tensor | None = field(default=None, repr=False)

    def for_unscaled(self, scales: Tensor) -> "SelectedHead":
        """Return the head for features that are not multiplied by ``scales``, shape (F,)."""
        multipliers = torch.cat([scales, scales.new_ones(1)])  # of the weights and the bias
        final = None if self.final is None else self.final * multipliers
        return replace(self, parameters=self.parameters * multipliers, final=final)


def fit_head(
    features: Mapping[str, Tensor],
    rows: Mapping[str, list[Row]],
    target: TargetSpec,
    targets: Sequence[TargetSpec],
    training: Probe,
    parts: Parts | None = None,
) -> SelectedHead:
    """Fit the head of a target and select its hyperparameters.

    Args:
        features: Standardised features of ``train`` and ``validation``, each of shape (N, F).
        rows: Manifest rows of the same photographs.
        target: Target of the head.
        targets: All targets of the data set.
        training: Candidates and how to select among them.
        parts: Widths of the parts of the features, for the strengths of the recipe.

    Raises:
        UsageError: The recipe has strengths for other parts.
    """
    scales = part_scales(training, target, parts or {})
    if scales is not None:
        features = {split: values * scales for split, values in features.items()}
    if training.folds:
        head = _fit_to_both_splits(features, rows, target, targets, training)
    else:
        data = {split: softmax_data(features[split], rows[split], target, training) for split in features}
        head = choose_by_validation(SoftmaxRegression(training.penalties), data, features["validation"])
    return head if scales is None else head.for_unscaled(scales)


def part_scales(training: Probe, target: TargetSpec, parts: Parts) -> Tensor | None:
    """Return what the standardised features of a target are multiplied by, with a mean square of 1, shape (F,).

    Penalised weights then have a prior variance in proportion to the strength of their part, divided among its
    features. None if the recipe has no strengths for the target.
    """
    strengths = training.part_strengths.get(target.name) or training.part_strengths.get(target.unit)
    if strengths is None:
        return None
    missing = [name for name, widths in parts.items() if len(strengths.get(name, ())) != len(widths)]
    if missing or not parts:
        raise UsageError(
            f"The recipe has part_strengths for {target.name}, but "
            + (f"not {len(parts[missing[0]])} of them for {missing[0]}." if parts else "its architecture has no parts.")
        )
    widths = torch.tensor([width for values in parts.values() for width in values])
    values = torch.tensor([value for name in parts for value in strengths[name]], dtype=torch.float64)
    squares = torch.repeat_interleave(values / widths, widths)
    return (squares / squares.mean()).sqrt()


def _fit_to_both_splits(
    features: Mapping[str, Tensor],
    rows: Mapping[str, list[Row]],
    target: TargetSpec,
    targets: Sequence[TargetSpec],
    training: Probe,
) -> SelectedHead:
    """Select by folds of training and validation together, and fit to both and to training alone."""
    all_features = torch.cat([features["train"], features["validation"]])
    all_rows = rows["train"] + rows["validation"]
    mixed = None
    if training.random_intercept_variances:
        mixed = mixed_effects_head(all_features, all_rows, target, targets, training)
    head, both = mixed or (
        SoftmaxRegression(training.penalties),
        softmax_data(all_features, all_rows, target, training),
    )
    selection = choose_by_folds(head, both, training.folds)
    logits = torch.full((len(all_rows), selection.logits.shape[1]), torch.nan)
    logits[both.indices] = selection.logits.float()
    train = both.subset(np.flatnonzero(both.indices < len(rows["train"])))
    first, final = (selection.estimator.fit(data).parameters[-1] for data in (train, both))
    return SelectedHead(selection.hyperparameters, selection.history, logits, first, final)


def choose_by_validation(
    head: SoftmaxRegression, data: Mapping[str, HeadData], validation_features: Tensor
) -> SelectedHead:
    """Fit to the training split with each candidate and select the one with the least validation loss."""
    train, validation = data["train"], data["validation"]
    head.fit(train)
    losses = [
        [split.loss(linear_logits(parameters, split.features)).item() for split in (train, validation)]
        for parameters in head.parameters
    ]
    history = [
        {**candidate, "train_loss": train_loss, "validation_loss": validation_loss}
        for candidate, (train_loss, validation_loss) in zip(head.candidates, losses, strict=True)
    ]
    best = min(range(len(losses)), key=lambda index: losses[index][1])
    parameters = head.parameters[best]
    return SelectedHead(head.candidates[best], history, linear_logits(parameters, validation_features), parameters)


@dataclass(frozen=True)
class FoldSelection:
    """Result of cross-validation.

    Attributes:
        estimator: Unfitted estimator whose last candidate is the selected one.
        hyperparameters: Those of the selected candidate.
        logits: Its out-of-fold logits, shape (N, C).
        history: Loss of each candidate.
    """

    estimator: Estimator
    hyperparameters: dict[str, float]
    logits: Tensor
    history: list[dict[str, float]]


def choose_by_folds(head: Estimator, data: HeadData, folds: int) -> FoldSelection:
    """Select a candidate by cross-validation in which no group is divided between folds.

    Args:
        head: Estimator with its candidates.
        data: Labelled photographs.
        folds: Number of folds.
    """
    reduced = replace(data, features=reduce_features(data.features)[0])
    indices, outputs = [], []
    for train, held_out in grouped_folds(data, folds):
        indices.append(held_out)
        outputs.append(head.fit(reduced.subset(train)).outputs(reduced.features[held_out]))
    in_order = torch.cat(outputs, 1)[:, np.argsort(np.concatenate(indices))]
    logits = head.calibrate(in_order, data)
    losses = [data.loss(candidate_logits).item() for candidate_logits in logits]
    best = int(np.argmin(losses))
    history = [{**candidate, "out_of_fold_loss": loss} for candidate, loss in zip(head.candidates, losses, strict=True)]
    return FoldSelection(head.select(best), head.candidates[best], logits[best], history)


def _named_parameters(target: TargetSpec, parameters: Tensor) -> dict[str, Tensor]:
    """Return the parameters of a head by their names in the network."""
    name = f"heads.targets.{target.name}"
    return {f"{name}.weight": parameters[:, :-1].float(), f"{name}.bias": parameters[:, -1].float()}
