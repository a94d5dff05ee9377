"""Gradient boosting of decision trees on measures of image quality, with scikit-learn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from lightmeter.models.architectures.trees import Ensemble, Trees
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.feature_cache import Inputs, cached_outputs
from lightmeter.models.training.data.loader import class_matrix, class_numbers
from lightmeter.models.training.fit import FitJob, FitResult
from lightmeter.models.training.methods import Boosting

_MAX_LOGIT = 20.0
_MIN_PROBABILITY = 1e-9

Examples = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Measures of shape (N, M) and classes of shape (N,)."""


@dataclass(frozen=True)
class _Classifier:
    """One classifier: of a target's classes, or of one class of a multilabel target.

    Attributes:
        label: Name in the history.
        columns: Columns of the ensemble that hold the classes; a binary classifier has one, for its second class.
        examples: Examples of each split; those of validation select the number of trees.
        class_weights: Whether classes are weighted inversely to their frequency.
    """

    label: str
    columns: Sequence[int]
    examples: Mapping[str, Examples]
    class_weights: bool


def fit_boosting(predictor: Predictor, job: FitJob, training: Boosting) -> FitResult:
    """Fit the trees of a predictor's network in place; validation selects their number."""
    inputs = {
        split: cached_outputs(predictor, None, job.dataset, rows, job.executor) for split, rows in job.rows.items()
    }
    result = FitResult(inputs=inputs, unreadable=[photo for split in inputs.values() for photo in split.unreadable])
    network = cast("Trees", predictor.network)
    iterations = result.facts["iterations"] = {}
    for target in predictor.spec.targets:
        ensemble = cast("Ensemble", network.targets[target.name])
        for classifier in _classifiers(target, inputs, training):
            losses = _fit(ensemble, classifier, training, job.seed)
            iterations[classifier.label] = int(np.argmin(losses)) + 1 if losses else 0
            result.history += [
                {"target": classifier.label, "trees": number, "validation_loss": loss}
                for number, loss in enumerate(losses, 1)
            ]
        result.trained_parameters += int((ensemble.value != 0).sum())
    with torch.inference_mode():
        logits = network({"measures": torch.from_numpy(np.array(_measures(inputs["validation"])))})
    arrays = {name: values.cpu().numpy() for name, values in logits.items()}
    result.calibrate(arrays, inputs["validation"].rows, predictor.spec.targets)
    return result


def _measures(inputs: Inputs) -> NDArray[np.float32]:
    return np.asarray(inputs.all()["measures"])


def _classifiers(target: Target, inputs: Mapping[str, Inputs], training: Boosting) -> Iterator[_Classifier]:
    if not target.multilabel:
        classes = {split: class_numbers(data.rows, target) for split, data in inputs.items()}
        columns = range(len(target.classes))
        yield _Classifier(target.name, columns, _examples(inputs, classes), training.weights_classes(target.name))
        return
    matrices = {split: np.nan_to_num(class_matrix(data.rows, target), nan=-1) for split, data in inputs.items()}
    for number, name in enumerate(target.classes):
        classes = {split: matrix[:, number].astype(np.int64) for split, matrix in matrices.items()}
        yield _Classifier(f"{target.name} {name}", (number,), _examples(inputs, classes), class_weights=False)


def _examples(inputs: Mapping[str, Inputs], classes: Mapping[str, NDArray[np.int64]]) -> dict[str, Examples]:
    """Return the labelled photographs of each split."""
    return {
        split: (_measures(data)[classes[split] >= 0], classes[split][classes[split] >= 0])
        for split, data in inputs.items()
    }


def _fit(ensemble: Ensemble, classifier: _Classifier, training: Boosting, seed: int) -> list[float]:
    """Fit a classifier, write its best number of trees to the ensemble, and return the loss after each tree."""
    measures, classes = classifier.examples["train"]
    counts = np.bincount(classes, minlength=max(2, len(classifier.columns)))
    absent = np.flatnonzero(counts == 0)
    if len(classifier.columns) == 1 and len(absent):
        ensemble.value[0, classifier.columns[0]] = _MAX_LOGIT if absent[0] == 0 else -_MAX_LOGIT
        return []
    model = GradientBoostingClassifier(
        n_estimators=len(ensemble.value),
        learning_rate=training.learning_rate,
        max_leaf_nodes=(ensemble.value.shape[2] + 1) // 2,
        subsample=0.7,
        max_features="sqrt",
        init="zero",
        random_state=seed,
    )
    weights = 1 / counts[classes] * len(classes) if classifier.class_weights else None
    model.fit(measures, classes, sample_weight=weights)
    staged = model.staged_predict_proba(classifier.examples["validation"][0])
    losses = [_loss(probabilities, model.classes_, classifier) for probabilities in staged]
    _copy(ensemble, model, int(np.argmin(losses)) + 1, classifier.columns)
    ensemble.value[0, absent] = -_MAX_LOGIT  # classes without training examples
    return losses


def _loss(probabilities: NDArray[np.float64], fitted_classes: NDArray[np.int64], classifier: _Classifier) -> float:
    """Return the mean validation loss, with class weights if the classifier has them."""
    _, classes = classifier.examples["validation"]
    of_class = np.zeros((len(classes), max(2, len(classifier.columns))))
    of_class[:, fitted_classes] = probabilities
    losses = -np.log(np.maximum(of_class[np.arange(len(classes)), classes], _MIN_PROBABILITY))
    if classifier.class_weights:
        return float(np.mean([losses[classes == name].mean() for name in np.unique(classes)]))
    return float(losses.mean())


def _copy(ensemble: Ensemble, model: Any, iterations: int, columns: Sequence[int]) -> None:
    """Write scikit-learn's trees to the tables of an ensemble; two classes share one tree, for the second of them."""
    if model.estimators_.shape[1] > 1 or len(columns) > 1:
        fitted = model.classes_ if model.estimators_.shape[1] > 1 else model.classes_[1:]
        columns = [columns[number] for number in fitted]
    for number, trees in enumerate(model.estimators_[:iterations]):
        for column, estimator in zip(columns, trees, strict=True):
            tree, size = estimator.tree_, estimator.tree_.node_count
            inner = tree.children_left >= 0
            nodes = np.arange(size)
            index = (number, int(column), slice(size))
            ensemble.feature[index] = torch.from_numpy(np.where(inner, tree.feature, 0))
            ensemble.threshold[index] = torch.from_numpy(np.where(inner, tree.threshold, 0.0))
            ensemble.below[index] = torch.from_numpy(np.where(inner, tree.children_left, nodes))
            ensemble.above[index] = torch.from_numpy(np.where(inner, tree.children_right, nodes))
            ensemble.value[index] = torch.from_numpy(np.where(inner, 0.0, tree.value[:, 0, 0]) * model.learning_rate)
