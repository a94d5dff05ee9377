"""Gradient boosting of decision trees on measures of a photograph, by scikit-learn."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from models.architectures.trees import Ensemble, Trees
from models.cache import cut_once
from models.data import class_numbers
from models.fitted import Fitted, Work
from models.predictor import Predictor
from models.recipe import Boosting
from models.spec import Target


def fit_boosting(predictor: Predictor, work: Work, training: Boosting) -> Fitted:
    """Grow the trees of a predictor's network in place; validation says how many are used."""
    splits = {split: cut_once(predictor, work.dataset, rows) for split, rows in work.rows.items()}
    fitted = Fitted(unreadable=[one for inputs in splits.values() for one in inputs.unreadable])
    network = cast("Trees", predictor.network)
    iterations: dict[str, int] = {}
    for target in predictor.spec.targets:
        known = {
            split: (np.asarray(inputs.arrays["measures"][: len(inputs)]), class_numbers(inputs.rows, target))
            for split, inputs in splits.items()
        }
        ensemble = cast("Ensemble", network.targets[target.name])
        iterations[target.name] = _grow(ensemble, target, known, training, work.seed, fitted)
    fitted.facts["iterations"] = iterations
    measures = torch.from_numpy(np.array(splits["validation"].arrays["measures"][: len(splits["validation"])]))
    with torch.inference_mode():
        logits = {name: values.cpu().numpy() for name, values in network({"measures": measures}).items()}
    fitted.calibrate(logits, splits["validation"].rows, predictor.spec.targets)
    return fitted


def _grow(
    ensemble: Ensemble,
    target: Target,
    splits: dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]],
    training: Boosting,
    seed: int,
    fitted: Fitted,
) -> int:
    """Fit one target's trees, keep those that help on validation, and return their number a class."""
    (seen, truth), (unseen, answer) = (
        (measures[classes >= 0], classes[classes >= 0]) for measures, classes in (splits["train"], splits["validation"])
    )
    model = GradientBoostingClassifier(
        n_estimators=len(ensemble.value),
        learning_rate=training.learning_rate,
        max_leaf_nodes=(ensemble.value.shape[2] + 1) // 2,
        subsample=0.7,
        max_features="sqrt",
        init="zero",
        random_state=seed,
    )
    numbers = np.bincount(truth, minlength=len(target.classes))
    model.fit(seen, truth, sample_weight=1 / numbers[truth] * len(truth) if training.class_weights else None)
    losses = [_loss(shares, model.classes_, answer) for shares in model.staged_predict_proba(unseen)]
    fitted.history += [
        {"target": target.name, "trees": number + 1, "validation_loss": loss} for number, loss in enumerate(losses)
    ]
    best = int(np.argmin(losses)) + 1
    _copy(ensemble, model, best)
    fitted.trained_parameters += int((ensemble.value != 0).sum())
    return best


def _loss(shares: NDArray[np.float64], classes: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the mean loss, every class of the truth counting the same."""
    place = {int(name): index for index, name in enumerate(classes)}
    each = np.asarray(
        [-np.log(max(shares[row, place[c]], 1e-9)) if c in place else 20.0 for row, c in enumerate(truth)]
    )
    return float(np.mean([each[truth == name].mean() for name in np.unique(truth)]))


def _copy(ensemble: Ensemble, model: Any, iterations: int) -> None:
    """Write scikit-learn's trees into the ensemble's tables; two classes have one tree, for the second of them."""
    columns = model.classes_ if model.estimators_.shape[1] > 1 else model.classes_[1:]
    absent = [c for c in range(ensemble.value.shape[1]) if c not in model.classes_]
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
    ensemble.value[0, absent] = -20.0  # classes that training never saw
