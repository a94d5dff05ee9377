"""Shortcut baselines: how well a target is predicted from metadata, without the image.

Each baseline is a decision tree (scikit-learn) on columns of the manifest, cross-validated over the groups of the data
set, so that it is evaluated on photographers and cameras that it was not trained on. The metric is accuracy, or macro
F1 for multilabel targets. Intervals are bootstrapped over groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.bootstrap import Estimate, group_intervals, group_sums, mean_ratio
from lightmeter.labels.datasets.manifest import label_column, to_file_types
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.datasets.splits.stratify import count_classes, stratified_group_split

WARNING_THRESHOLD = 0.10
"""A baseline that exceeds the majority baseline by more than this leads to a warning."""

_EXIF = ("make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm", "flash_fired")
_FILE = ("format", "width", "height", "quantisation")
_FOLDS = 5
_MAX_PHOTOGRAPHS = 20_000
_MAX_CATEGORIES = 64
_MIN_SAMPLES_LEAF = 3

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Indicators = NDArray[np.bool_]
"""Which photograph has which class, shape (n_photographs, n_classes)."""


@dataclass(frozen=True)
class Baseline:
    """Estimate of one baseline.

    Attributes:
        name: What the baseline is given.
        metric: ``accuracy`` or ``macro F1``.
        value: Metric on photographs of groups that it was not trained on.
        low: Lower end of the 95 % interval; None with a single group.
        high: Upper end of the 95 % interval; None with a single group.
        photographs: Number of photographs; a random sample of large data sets.
    """

    name: str
    metric: str
    value: float
    low: float | None
    high: float | None
    photographs: int

    @property
    def estimate(self) -> Estimate:
        """Metric with its interval."""
        return Estimate(value=self.value, low=self.low, high=self.high)


def shortcut_baselines(manifest: pa.Table, target: TargetSpec) -> list[Baseline]:
    """Return the majority baseline (all-positive for a multilabel target), then one baseline per kind of feature.

    Args:
        manifest: Manifest of the data set.
        target: Target to predict.
    """
    rows = np.flatnonzero(manifest[label_column(target.name)].is_valid().to_numpy())
    rows = rows[:_MAX_PHOTOGRAPHS]  # a random sample: rows are in the order of their SHA-256
    labelled = to_file_types(manifest.take(pa.array(rows)))
    truth = _indicators(labelled, target)
    names, groups = np.unique(labelled["group"].to_numpy(zero_copy_only=False), return_inverse=True)
    folds = _folds(truth, groups, names.tolist())
    predictions = {"all positive": np.ones_like(truth)} if target.multilabel else {}
    for kind, columns in shortcut_features(target).items():
        predictions[kind] = _cross_predict(encode_features(labelled, columns), truth, folds, target)
    baselines = [_baseline(kind, truth, predicted, groups, target) for kind, predicted in predictions.items()]
    return baselines if target.multilabel else [_majority(labelled, truth, groups, target), *baselines]


def _majority(labelled: pa.Table, truth: Indicators, groups: Integers, target: TargetSpec) -> Baseline:
    """Return the accuracy of the most frequent class of the train split on the test split, as reports of models do."""
    splits = labelled["split"].to_numpy(zero_copy_only=False)
    train, test = (np.flatnonzero(splits == split) for split in ("train", "test"))
    train, test = (rows if len(rows) else np.arange(len(truth)) for rows in (train, test))
    predicted = np.zeros((len(test), truth.shape[1]), dtype=np.bool_)
    predicted[:, truth[train].sum(axis=0).argmax()] = True
    return _baseline("majority", truth[test], predicted, np.unique(groups[test], return_inverse=True)[1], target)


def shortcut_features(target: TargetSpec) -> dict[str, Sequence[str]]:
    """Return the manifest columns of each kind of feature, without those that reveal the class."""
    return {
        "source": ("source",),
        "image size and JPEG tables": _FILE,
        "other EXIF": [name for name in _EXIF if name not in target.determined_by],
    }


def shortcut_predictions(train: pa.Table, test: pa.Table, target: TargetSpec) -> dict[str, Indicators]:
    """Return predictions from each kind of feature.

    Args:
        train: Manifest rows with a label.
        test: Manifest rows to predict.
        target: Target to predict.

    Returns:
        Predicted classes by kind, each of shape (n_test, n_classes).
    """
    train = train.slice(0, _MAX_PHOTOGRAPHS)
    truth, rows = _indicators(train, target), pa.concat_tables([train, test])
    predictions = {}
    for kind, columns in shortcut_features(target).items():
        features = encode_features(rows, columns)
        predictions[kind] = _predict(features[: len(truth)], truth, features[len(truth) :], target)
    return predictions


def shortcut_warnings(baselines: Sequence[Baseline], target: str, share: float = 0.0) -> list[str]:
    """Return a warning for each baseline that exceeds the first one by more than `WARNING_THRESHOLD`.

    Args:
        baselines: As returned by `shortcut_baselines`.
        target: Name of the target.
        share: Share of the most frequent class of all photographs, if the test split has fewer of it.
    """
    first, *others = baselines
    majority = replace(first, value=max(first.value, share))
    return [
        f"Warning: {item.name} alone predicts {target} with {100 * item.value:.0f} % {item.metric}, "
        f"{100 * (item.value - majority.value):.0f} points above the {majority.name} baseline "
        f"({100 * majority.value:.0f} %). A model may learn this shortcut instead of the image content."
        for item in others
        if item.value - majority.value > WARNING_THRESHOLD
    ]


def _indicators(table: pa.Table, target: TargetSpec) -> Indicators:
    labels = table[label_column(target.name)].to_pylist()
    lists = labels if target.multilabel else [[label] for label in labels]
    return np.asarray([[name in classes for name in target.classes] for classes in lists])


def _folds(truth: Indicators, groups: Integers, names: Sequence[str]) -> Integers:
    """Return the fold of each photograph, stratified by class, with whole groups."""
    n_folds = int(max(2, min(_FOLDS, truth.sum(axis=0).min(), len(names))))
    rows, classes = np.nonzero(truth)
    counts = count_classes(groups[rows], classes, (len(names), truth.shape[1]))
    return stratified_group_split(counts, [1 / n_folds] * n_folds, names, seed=0)[groups]


def _cross_predict(features: Floats, truth: Indicators, folds: Integers, target: TargetSpec) -> Indicators:
    predicted = np.zeros_like(truth)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        predicted[test] = _predict(features[train], truth[train], features[test], target)
    return predicted


def _predict(train: Floats, truth: Indicators, test: Floats, target: TargetSpec) -> Indicators:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(min_samples_leaf=_MIN_SAMPLES_LEAF, random_state=0)
    if target.multilabel:
        return np.asarray(tree.fit(train, truth).predict(test), dtype=np.bool_)
    classes = tree.fit(train, truth.argmax(axis=1)).predict(test)
    return np.asarray(np.arange(truth.shape[1]) == classes[:, None])


def encode_features(table: pa.Table, columns: Sequence[str]) -> Floats:
    """Return numbers as they are, -1 where missing, and one-hot columns of the most frequent texts.

    Args:
        table: Photographs.
        columns: Columns of numbers and texts.

    Returns:
        Features, shape (n_photographs, n_features).
    """
    parts = []
    for name in columns:
        column = table[name]
        if pa.types.is_string(column.type):
            values = column.fill_null("").to_numpy(zero_copy_only=False)
            categories, counts = np.unique(values, return_counts=True)
            categories = categories[np.argsort(-counts, kind="stable")][:_MAX_CATEGORIES]
            parts.append((values[:, None] == categories).astype(np.float64))
        else:
            parts.append(column.cast(pa.float64()).fill_null(-1.0).to_numpy()[:, None])
    return np.hstack(parts)


def _baseline(name: str, truth: Indicators, predicted: Indicators, groups: Integers, target: TargetSpec) -> Baseline:
    """Estimate the metric with its interval over groups."""
    if target.multilabel:
        metric, numerators, denominators = "macro F1", 2 * (truth & predicted), truth.astype(np.int64) + predicted
    else:
        metric, numerators = "accuracy", (truth & predicted).sum(axis=1, keepdims=True)
        denominators = np.ones_like(numerators)
    above, below = group_sums(groups, numerators), group_sums(groups, denominators)
    sizes = np.bincount(groups)
    estimate = group_intervals(lambda weights: {metric: mean_ratio(weights @ above, weights @ below)}, sizes)[metric]
    return Baseline(name, metric, estimate["value"] or 0.0, estimate["low"], estimate["high"], len(truth))
