"""Permutation importance of EXIF tags and image statistics.

The importance of an input is the decrease of macro F1 when its values are shuffled among the photographs (L. Breiman,
"Random forests", Machine Learning 45, 2001), with intervals over groups.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightmeter.bootstrap import Floats, Metrics, group_intervals, paired_intervals
from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import Split, label_column
from lightmeter.models.analysis.inputs import get_target
from lightmeter.models.evaluation.metrics.base import TargetPredictions
from lightmeter.models.evaluation.predictions import prediction_row, target_predictions
from lightmeter.models.runtime.engines.pytorch import single_thread
from lightmeter.models.runtime.measures import NAMES as MEASURES
from lightmeter.models.runtime.predictor import Predictor, to_tensors
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.data.feature_cache import Inputs, cached_outputs

METRIC = "macro_f1"
_BATCH = 64

Arrays = Mapping[str, NDArray[Any]]


def permutation_importance(
    predictor: Predictor, dataset: Dataset, split: Split, target_name: str | None, repeats: int
) -> dict[str, Any]:
    """Return the decrease of macro F1 for each shuffled input, largest first.

    Args:
        predictor: Predictor of the model.
        dataset: Data set with the photographs.
        split: Split to take photographs from.
        target_name: Target of the model (default: the first).
        repeats: Number of shuffles per input.

    Raises:
        UsageError: The model uses neither EXIF tags nor image statistics, or the split has no label.
    """
    target = get_target(predictor, target_name)
    columns = _tabular_columns(predictor)
    rows = [row for row in dataset.rows(split) if row[label_column(target.name)] is not None]
    if not rows:
        raise UsageError(f"The {split} split of {dataset.spec.name} has no label for '{target.name}'.")
    inputs = cached_outputs(predictor, None, dataset, rows)
    arrays = inputs.take(np.arange(len(inputs)))
    predictions = _predict(predictor, inputs, arrays, target)
    sizes, original = np.bincount(predictions.groups), _mean_metric([predictions])
    importances = {}
    for name, (array, indices) in columns.items():
        shuffled = [
            _predict(predictor, inputs, {**arrays, array: values}, target)
            for values in _shuffled(arrays[array], indices, repeats)
        ]
        importances[name] = paired_intervals(_mean_metric(shuffled), original, sizes)[METRIC]
    return {
        "target": target.name,
        "split": split,
        "repeats": repeats,
        **group_intervals(original, sizes),
        "importances": dict(sorted(importances.items(), key=lambda item: -(item[1]["value"] or 0))),
    }


def _tabular_columns(predictor: Predictor) -> dict[str, tuple[str, list[int]]]:
    """Return the array and the column indices of each input that can be shuffled, by its name."""
    settings = predictor.spec.preprocessing
    columns = {tag: ("exif", indices) for tag, indices in settings.exif_columns.items()}
    if settings.measures:
        columns |= {name: ("measures", [index]) for index, name in enumerate(MEASURES)}
    if not columns:
        raise UsageError(f"The model {predictor.spec.name} uses neither EXIF tags nor image statistics to shuffle.")
    return columns


def _shuffled(values: NDArray[Any], columns: list[int], repeats: int) -> Iterator[NDArray[Any]]:
    random = np.random.default_rng(0)
    for _ in range(repeats):
        shuffled = values.copy()
        shuffled[:, columns] = values[random.permutation(len(values))][:, columns]
        yield shuffled


def _predict(predictor: Predictor, inputs: Inputs, arrays: Arrays, target: Target) -> TargetPredictions:
    logits: list[NDArray[np.float32]] = []
    for start in range(0, len(inputs), _BATCH):
        batch = {name: values[start : start + _BATCH] for name, values in arrays.items()}
        with torch.inference_mode(), single_thread():
            tensors = to_tensors(batch, predictor.spec.preprocessing, predictor.device)
            logits += list(predictor.network(tensors)[target.name].float().cpu().numpy())
    rows = [prediction_row(row, target, values) for row, values in zip(inputs.rows, logits, strict=True)]
    return target_predictions(rows, target)


def _mean_metric(repeats: Sequence[TargetPredictions]) -> Metrics:
    """Return the mean macro F1 over repeated predictions, as a function of group weights."""

    def metrics(weights: Floats) -> dict[str, Floats]:
        return {METRIC: np.mean([predictions.metrics(weights)[METRIC] for predictions in repeats], axis=0)}

    return metrics
