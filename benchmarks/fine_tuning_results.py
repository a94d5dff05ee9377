"""Metrics of ``benchmarks.fine_tuning`` with intervals over photographers: they need NumPy alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.fine_tuning_network import SIZES, STOPS

RESAMPLES = 2000
_METRICS = {"focal-length": "macro_f1"}


def tables(name: str, truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each photographer the sum of errors and their number, or the confusion matrix, shape (G, 2 or K²)."""
    count = int(groups.max()) + 1
    if name in STOPS:
        errors = np.abs(predicted[:, 0] - truth)
        return np.stack([np.bincount(groups, errors, count), np.bincount(groups, minlength=count)], 1)
    classes = SIZES[name]
    cells = groups * classes**2 + truth.astype(int) * classes + predicted.argmax(1)
    return np.bincount(cells, minlength=count * classes**2).reshape(count, -1)


def metrics_of(name: str, table: np.ndarray) -> np.ndarray:
    """Return the mean absolute error in stops, macro F1 of the focal length, else balanced accuracy, of each row."""
    if name in STOPS:
        return np.asarray(table[:, 0] / table[:, 1])
    matrices = table.reshape(len(table), SIZES[name], SIZES[name])
    right, true, predicted = matrices.diagonal(axis1=1, axis2=2), matrices.sum(2), matrices.sum(1)
    if name in _METRICS:
        return np.asarray((2 * right / (true + predicted).clip(1)).mean(1))
    with np.errstate(invalid="ignore"):
        return np.asarray((right / true).mean(1))


def results_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each metric with its interval, and the difference from ``probe`` on the same resampled photographers."""
    for name in SIZES:
        by_model: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["target"] == name and (row["model"] != "median" or name in STOPS):
                by_model.setdefault(row["model"], []).append(row)
        values = {}
        for model, labelled in by_model.items():
            photographers, groups = np.unique([row["photographer"] for row in labelled], return_inverse=True)
            truth = np.asarray([row["truth"] for row in labelled])
            predicted = np.asarray([[float(value) for value in row["output"].split()] for row in labelled])
            random = np.random.default_rng(0)
            share = np.full(len(photographers), 1 / len(photographers))
            weights = random.multinomial(len(photographers), share, RESAMPLES)
            weights = np.concatenate([np.ones_like(weights[:1]), weights])
            values[model] = metrics_of(name, weights @ tables(name, truth, predicted, groups))
        for model, numbers in values.items():
            difference = numbers - values["probe"]
            low, high = np.nanpercentile(numbers[1:], (2.5, 97.5))
            from_probe_low, from_probe_high = np.nanpercentile(difference[1:], (2.5, 97.5))
            numbers_by_column = {
                "value": numbers[0],
                "low": low,
                "high": high,
                "from_probe": difference[0],
                "from_probe_low": from_probe_low,
                "from_probe_high": from_probe_high,
            }
            yield {
                "target": name,
                "metric": "mae_stops" if name in STOPS else _METRICS.get(name, "balanced_accuracy"),
                "photographs": len(by_model[model]),
                "photographers": len({row["photographer"] for row in by_model[model]}),
                "model": model,
                **{column: f"{value:.4f}" for column, value in numbers_by_column.items()},
            }
