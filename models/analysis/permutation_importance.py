"""Permutation importance of EXIF tags and of measures of quality.

What a model loses when the values of one input are shuffled among the photographs (L. Breiman, "Random forests",
Machine Learning 45, 2001), with intervals from drawing whole groups.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightmeter.bootstrap import with_interval
from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.dataset import Dataset, Split, label_column
from lightmeter.models.analysis.explain import target_of
from lightmeter.models.evaluation.metrics.scoring import answers_of
from lightmeter.models.evaluation.plots import importance_plot
from lightmeter.models.evaluation.predictions import prediction_row
from lightmeter.models.runtime.measures import NAMES as MEASURES
from lightmeter.models.runtime.predictor import Predictor, single_thread, to_tensors
from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.feature_cache import Inputs, cached_inputs

FIGURE = "macro_f1"
_AT_ONCE = 64

Arrays = Mapping[str, NDArray[Any]]


def importance_of(
    predictor: Predictor, dataset: Dataset, split: Split, target: str | None, repeats: int
) -> dict[str, Any]:
    """Return what macro F1 loses by each input that is shuffled.

    Args:
        predictor: of the model.
        dataset: with the photographs.
        split: whose photographs are asked about.
        target: one of the model's; None for its first.
        repeats: how often each input is shuffled.

    Raises:
        UsageError: if the model reads neither tags nor measures, or nothing in the split is labelled.
    """
    chosen = target_of(predictor, target)
    shuffled = _inputs(predictor)
    rows = [row for row in dataset.rows(split) if row[label_column(chosen.name)] is not None]
    if not rows:
        raise UsageError(
            f"The {split} split of {dataset.spec.name} has no photograph with a label for '{chosen.name}'."
        )
    inputs = cached_inputs(predictor, dataset, rows)
    arrays = inputs.take(np.arange(len(inputs)))
    value, draws = _figure(predictor, inputs, arrays, chosen)
    drops = {}
    for name, (array, columns) in shuffled.items():
        versions = _permuted(arrays[array], columns, repeats)
        worse = [_figure(predictor, inputs, {**arrays, array: values}, chosen) for values in versions]
        mean, mean_draws = (np.mean(found, axis=0) for found in zip(*worse, strict=True))
        drops[name] = with_interval(value - float(mean), draws - mean_draws)
    return {
        "target": chosen.name,
        "split": split,
        "repeats": repeats,
        FIGURE: with_interval(value, draws),
        "drops": dict(sorted(drops.items(), key=lambda pair: -(pair[1]["value"] or 0))),
    }


def write_importance(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write the plot into a run's plots."""
    picture = folder / "plots" / f"importance-{found['target']}.png"
    write_atomic(picture, importance_plot(found))
    return picture


def _inputs(predictor: Predictor) -> dict[str, tuple[str, list[int]]]:
    """Return what can be shuffled: by name, the array that it is in and its columns there."""
    settings = predictor.spec.preprocessing
    found = {tag: ("exif", places) for tag, places in settings.exif_columns.items()}
    if settings.measures:
        found |= {name: ("measures", [number]) for number, name in enumerate(MEASURES)}
    if not found:
        raise UsageError(
            f"The model {predictor.spec.name} reads neither EXIF tags nor measures that could be shuffled."
        )
    return found


def _permuted(values: NDArray[Any], columns: list[int], repeats: int) -> Iterator[NDArray[Any]]:
    random = np.random.default_rng(0)
    for _ in range(repeats):
        changed = values.copy()
        changed[:, columns] = values[random.permutation(len(values))][:, columns]
        yield changed


def _figure(predictor: Predictor, inputs: Inputs, arrays: Arrays, target: Target) -> tuple[float, NDArray[np.float64]]:
    parts = []
    for start in range(0, len(inputs), _AT_ONCE):
        batch = {name: values[start : start + _AT_ONCE] for name, values in arrays.items()}
        with torch.inference_mode(), single_thread():
            tensors = to_tensors(batch, predictor.spec.preprocessing, predictor.device)
            parts.append(predictor.network(tensors)[target.name].float().cpu().numpy())
    logits = np.concatenate(parts)
    rows = [prediction_row(row, target, found) for row, found in zip(inputs.rows, logits, strict=True)]
    return answers_of(rows, target).drawn(0)[FIGURE]
