"""Gradient boosting of decision trees on measures of a photograph, by scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from lightmeter.models.architectures.trees import Ensemble, Trees
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.feature_cache import Inputs, cached_inputs
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.loader import class_numbers, class_sets
from lightmeter.models.training.recipe import Boosting

_CERTAIN = 20.0  # a logit


@dataclass(frozen=True)
class Question:
    """What one row of trees answers: which of the classes, or whether one of several at once.

    Attributes:
        label: what the history says.
        columns: of the ensemble, that hold the classes; of yes and no only the former has one.
        seen: measures of the training photographs that have a label, shape (N, M).
        truth: their classes, shape (N,).
        unseen: measures of the validation photographs, likewise.
        answer: their classes.
        even: let every class count the same.
    """

    label: str
    columns: Sequence[int]
    seen: NDArray[np.float32]
    truth: NDArray[np.int64]
    unseen: NDArray[np.float32]
    answer: NDArray[np.int64]
    even: bool


def fit_boosting(predictor: Predictor, work: FitJob, training: Boosting) -> FitResult:
    """Grow the trees of a predictor's network in place; validation says how many are used."""
    splits = {split: cached_inputs(predictor, work.dataset, rows) for split, rows in work.rows.items()}
    fitted = FitResult(unreadable=[one for inputs in splits.values() for one in inputs.unreadable])
    network = cast("Trees", predictor.network)
    iterations: dict[str, int] = {}
    for target in predictor.spec.targets:
        ensemble = cast("Ensemble", network.targets[target.name])
        for question in _questions(target, splits, training):
            iterations[question.label] = _grow(ensemble, question, training, work.seed, fitted)
        fitted.trained_parameters += int((ensemble.value != 0).sum())
    fitted.facts["iterations"] = iterations
    with torch.inference_mode():
        found = network({"measures": torch.from_numpy(np.array(_measures(splits["validation"])))})
    logits = {name: values.cpu().numpy() for name, values in found.items()}
    fitted.calibrate(logits, splits["validation"].rows, predictor.spec.targets)
    return fitted


def _measures(inputs: Inputs) -> NDArray[np.float32]:
    return np.asarray(inputs.arrays["measures"][: len(inputs)])


def _questions(target: Target, splits: dict[str, Inputs], training: Boosting) -> list[Question]:
    train, validation = (splits[name] for name in ("train", "validation"))
    seen, unseen = _measures(train), _measures(validation)
    if not target.multiple:
        truth, answer = class_numbers(train.rows, target), class_numbers(validation.rows, target)
        known, asked = truth >= 0, answer >= 0
        columns = range(len(target.classes))
        even = training.class_weights
        return [Question(target.name, columns, seen[known], truth[known], unseen[asked], answer[asked], even)]
    sets, answers = class_sets(train.rows, target), class_sets(validation.rows, target)
    known, asked = np.isfinite(sets[:, 0]), np.isfinite(answers[:, 0])
    return [
        Question(
            f"{target.name} {name}",
            (number,),
            seen[known],
            sets[known, number].astype(np.int64),
            unseen[asked],
            answers[asked, number].astype(np.int64),
            even=False,
        )
        for number, name in enumerate(target.classes)
    ]


def _grow(ensemble: Ensemble, question: Question, training: Boosting, seed: int, fitted: FitResult) -> int:
    """Fit the trees of one question, keep those that help on validation, and return their number a class."""
    numbers = np.bincount(question.truth, minlength=max(2, len(question.columns)))
    absent = np.flatnonzero(numbers == 0)
    if len(question.columns) == 1 and len(absent):
        ensemble.value[0, question.columns[0]] = _CERTAIN if absent[0] == 0 else -_CERTAIN
        return 0
    model = GradientBoostingClassifier(
        n_estimators=len(ensemble.value),
        learning_rate=training.learning_rate,
        max_leaf_nodes=(ensemble.value.shape[2] + 1) // 2,
        subsample=0.7,
        max_features="sqrt",
        init="zero",
        random_state=seed,
    )
    weights = 1 / numbers[question.truth] * len(question.truth) if question.even else None
    model.fit(question.seen, question.truth, sample_weight=weights)
    losses = [_loss(shares, model.classes_, question) for shares in model.staged_predict_proba(question.unseen)]
    fitted.history += [
        {"target": question.label, "trees": number + 1, "validation_loss": loss} for number, loss in enumerate(losses)
    ]
    best = int(np.argmin(losses)) + 1
    _copy(ensemble, model, best, question.columns)
    ensemble.value[0, absent] = -_CERTAIN  # classes that training never saw
    return best


def _loss(shares: NDArray[np.float64], classes: NDArray[np.int64], question: Question) -> float:
    """Return the mean loss; where classes are even, every class of the truth counts the same."""
    truth = question.answer
    place = {int(name): index for index, name in enumerate(classes)}
    each = np.asarray(
        [-np.log(max(shares[row, place[c]], 1e-9)) if c in place else _CERTAIN for row, c in enumerate(truth)]
    )
    return float(np.mean([each[truth == name].mean() for name in np.unique(truth)] if question.even else each))


def _copy(ensemble: Ensemble, model: Any, iterations: int, columns: Sequence[int]) -> None:
    """Write scikit-learn's trees into the ensemble's tables; two classes have one tree, for the second of them."""
    if model.estimators_.shape[1] > 1 or len(columns) > 1:
        kinds = model.classes_ if model.estimators_.shape[1] > 1 else model.classes_[1:]
        columns = [columns[kind] for kind in kinds]
    for number, trees in enumerate(model.estimators_[:iterations]):
        for column, grown in zip(columns, trees, strict=True):
            tree, size = grown.tree_, grown.tree_.node_count
            inner = tree.children_left >= 0
            here = np.arange(size)
            place = (number, int(column), slice(size))
            ensemble.feature[place] = torch.from_numpy(np.where(inner, tree.feature, 0))
            ensemble.threshold[place] = torch.from_numpy(np.where(inner, tree.threshold, 0.0))
            ensemble.below[place] = torch.from_numpy(np.where(inner, tree.children_left, here))
            ensemble.above[place] = torch.from_numpy(np.where(inner, tree.children_right, here))
            ensemble.value[place] = torch.from_numpy(np.where(inner, 0.0, tree.value[:, 0, 0]) * model.learning_rate)
