"""Metrics of a model on one split: per target, beside baselines, and broken down by source and camera."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation.baselines import baseline_metrics
from lightmeter.models.evaluation.metrics.base import TargetPredictions, estimates, n_groups
from lightmeter.models.evaluation.predictions import target_predictions
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.loader import photograph_key

_BREAKDOWN_ROWS, _MIN_PHOTOGRAPHS = 15, 5

Row = Mapping[str, Any]


def split_metrics(rows: Sequence[Row], targets: Sequence[Target], dataset: Dataset, seed: int) -> dict[str, Any]:
    """Return the metrics of one split, as in ``metrics.json``.

    Args:
        rows: Rows of ``predictions.parquet`` of the split.
        targets: Targets of the model.
        dataset: Data set of the photographs; the baselines are fitted to its training split.
        seed: Seed of the bootstrap.
    """
    by_target = {target: [row for row in rows if row["target"] == target.name] for target in targets}
    groups = {photograph_key(row): row["group"] for row in rows}
    return {
        "photographs": len(groups),
        "groups": len(set(groups.values())),
        "targets": {
            target.name: _target_metrics(of_target, target, dataset, seed)
            for target, of_target in by_target.items()
            if of_target
        },
    }


def _target_metrics(rows: Sequence[Row], target: Target, dataset: Dataset, seed: int) -> dict[str, Any]:
    predictions = target_predictions(rows, target)
    return {
        "photographs": len(rows),
        "groups": n_groups(predictions),
        "classes": list(target.classes),
        **estimates(predictions, seed),
        **predictions.details(),
        "baselines": baseline_metrics(predictions, rows, target, dataset, seed),
        "breakdown": {
            "source": _breakdown(predictions, [row["source"] or "unknown" for row in rows]),
            "camera": _breakdown(predictions, [_camera(row) for row in rows]),
        },
        "temperature": target.temperature,
    }


def _breakdown(predictions: TargetPredictions, parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the metrics of each part with enough photographs, most photographs first.

    Args:
        predictions: Predictions about N photographs.
        parts: Source or camera of each photograph, length N.
    """
    part_of = np.asarray(parts, dtype=object).astype(str)
    names, counts = np.unique(part_of, return_counts=True)
    return {
        str(names[index]): {
            "photographs": int(counts[index]),
            **_values(predictions.subset(part_of == names[index])),
        }
        for index in np.argsort(-counts, kind="stable")[:_BREAKDOWN_ROWS]
        if counts[index] >= _MIN_PHOTOGRAPHS
    }


def _values(predictions: TargetPredictions) -> dict[str, float]:
    metrics = predictions.metrics(np.ones((1, n_groups(predictions))))
    return {name: float(metrics[name][0]) for name in predictions.breakdown_metrics if name in metrics}


def _camera(row: Row) -> str:
    return " ".join(part for part in (row["make"], row["model"]) if part) or "unknown"
