"""Baselines that never look at an image.

The most frequent class, the median setting, and decision trees on metadata of the manifest
(`lightmeter.labels.datasets.card.shortcuts`). They are fitted to the training split and predict the photographs
that the model predicts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightmeter.labels.datasets.card.shortcuts import shortcut_predictions
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import label_column
from lightmeter.models.evaluation.metrics.base import (
    BaselinePredictions,
    TargetPredictions,
    estimated_differences,
    estimates,
)
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.loader import Row, class_matrix, class_numbers, photograph_key, stops_of

MAIN_METRICS = ("accuracy", "mean_average_precision")
"""The metric of targets with one class a photograph, and that of targets with several."""

Baseline = tuple[str, dict[str, Any], BaselinePredictions]
"""Name, constants to report, predictions."""


def baseline_metrics(
    predictions: TargetPredictions, rows: Sequence[Mapping[str, Any]], target: Target, dataset: Dataset, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each baseline, by its name.

    The best one has the key ``difference`` as well: by how much each metric of the model is above its own.

    Args:
        predictions: Predictions of the model.
        rows: Rows of ``predictions.parquet`` that they were made from.
        target: Target of the predictions.
        dataset: Data set with the training split and the metadata.
        seed: Seed of the bootstrap.
    """
    manifest = dataset.rows()
    index_of = {photograph_key(row): index for index, row in enumerate(manifest)}
    train = [
        index
        for index, row in enumerate(manifest)
        if row["split"] == "train" and row[label_column(target.name)] is not None
    ]
    train_rows = [manifest[index] for index in train]
    shortcuts = shortcut_predictions(
        dataset.manifest.take(train),
        dataset.manifest.take([index_of[photograph_key(row)] for row in rows]),
        dataset.spec.target(target.name),
    )
    constants = _multilabel_constants if target.multilabel else _constants
    baselines = [*constants(train_rows, target, len(rows)), *_shortcuts(shortcuts, target)]
    replaced = {name: predictions.replaced_by(baseline) for name, _, baseline in baselines}
    metrics = {name: {**facts, **estimates(replaced[name], seed)} for name, facts, _ in baselines}
    best = best_baseline(metrics)
    if best is not None:
        metrics[best]["difference"] = estimated_differences(replaced[best], predictions, seed)
    return metrics


def main_metric(scores: Mapping[str, Any]) -> str:
    """Return the name of the metric by which a model is compared with baselines."""
    return next(name for name in MAIN_METRICS if name in scores)


def best_baseline(baselines: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the name of the baseline with the highest main metric, the first of equal ones; None without baselines."""
    return max(baselines, key=lambda name: baselines[name][main_metric(baselines[name])]["value"] or 0.0, default=None)


def _constants(train_rows: Sequence[Row], target: Target, count: int) -> Iterator[Baseline]:
    """Yield the most frequent class and, for ordinal targets, the median setting."""
    classes = class_numbers(train_rows, target)
    majority = int(np.bincount(classes, minlength=len(target.classes)).argmax())
    yield "majority", {"class": target.classes[majority]}, _one_class(majority, target, count)
    if target.stops:
        median = float(np.nanmedian(stops_of(train_rows, target)))
        nearest = int(np.abs(np.asarray(target.stops) - median).argmin())
        facts = {"class": target.classes[nearest], "stops": median}
        yield "median", facts, _one_class(nearest, target, count, np.full(count, median))


def _one_class(index: int, target: Target, count: int, stops: NDArray[np.float64] | None = None) -> BaselinePredictions:
    labels = np.tile(np.arange(len(target.classes)) == index, (count, 1))
    return BaselinePredictions(labels, labels.astype(np.float64), stops)


def _multilabel_constants(train_rows: Sequence[Row], target: Target, count: int) -> Iterator[Baseline]:
    """Yield the prediction of every class, which has the highest macro F1 of all constant predictions."""
    frequencies = np.mean(class_matrix(train_rows, target), axis=0)
    labels = np.ones((count, len(frequencies)), dtype=np.bool_)
    facts = {"frequencies": dict(zip(target.classes, frequencies.tolist(), strict=True))}
    yield "all positive", facts, BaselinePredictions(labels, np.broadcast_to(frequencies, labels.shape))


def _shortcuts(shortcuts: Mapping[str, NDArray[np.bool_]], target: Target) -> Iterator[Baseline]:
    """Yield the decision trees on metadata."""
    for name, labels in shortcuts.items():
        stops = np.asarray(target.stops)[labels.argmax(1)] if target.stops else None
        yield name, {}, BaselinePredictions(labels, labels.astype(np.float64), stops)
