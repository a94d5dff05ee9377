"""Metrics of the model that ships: by photographs and by photographers, as a table and in its card."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.corpus import coverage, errors_in_stops, write_rows
from lightmeter.bootstrap import format_estimate, group_indices, group_intervals
from lightmeter.files import write_atomic
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.evaluation.metrics.base import SCALES, estimates
from lightmeter.models.evaluation.metrics.classification import ClassPredictions
from lightmeter.models.runtime.intervals import StopsDistribution
from lightmeter.models.runtime.spec import read_spec
from lightmeter.models.training.runs import read_metrics


def write_results(folder: Path, targets: Sequence[TargetSpec], table: Path) -> None:
    """Write the card of the model in a folder and the table of its metrics."""
    spec, metrics = read_spec(folder), read_metrics(folder)
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, autoescape=False)
    card = template.get_template("default_model.md.jinja").render(
        spec=spec, metrics=metrics, format_estimate=format_estimate, targets=targets
    )
    write_atomic(folder / "README.md", card)
    write_rows(table, list(metric_rows(metrics)))


def metric_rows(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric of each target, on the folds and on the lock-box."""
    for where in ("folds", "lockbox"):
        for target, result in metrics.get(where, {}).items():
            for name, estimate in result["metrics"].items():
                extra = {"median": result["median_mae_stops"], "gain": result["gain"]} if name == "mae_stops" else {}
                extra["by_photographer"] = result["by_photographer"][name]
                yield {
                    "where": where,
                    "target": target,
                    "metric": name,
                    "photographs": result["photographs"],
                    "photographers": result["photographers"],
                    **estimate,
                    **{f"{prefix}_{key}": value for prefix, other in extra.items() for key, value in other.items()},
                    **({"in_90_percent_interval": result["interval_coverage"]} if name == "mae_stops" else {}),
                }


def classes_of(rows: Sequence[dict[str, Any]], target: TargetSpec) -> np.ndarray:
    """Return the index of each photograph's class, −1 without one."""
    labels = [row[f"label_{target.name}"] for row in rows]
    return np.asarray([-1 if label is None else target.classes.index(label) for label in labels])


def stops_of(rows: Sequence[dict[str, Any]], target: TargetSpec) -> np.ndarray:
    """Return the setting of each photograph in stops, NaN where it is unknown."""
    return np.asarray([row[f"stops_{target.name}"] for row in rows], float)


def median_of(rows: Sequence[dict[str, Any]], target: TargetSpec) -> float:
    """Return the median setting in stops; 0 for targets without stops."""
    return float(np.nanmedian(stops_of(rows, target))) if target.ordinal else 0.0


def evaluate(
    target: TargetSpec, probabilities: np.ndarray, rows: Sequence[dict[str, Any]], median: float
) -> dict[str, Any]:
    """Return the metrics of a target with intervals over photographers, and the error of the median setting."""
    classes = classes_of(rows, target)
    labelled = np.flatnonzero(classes >= 0)
    probabilities, classes = probabilities[labelled], classes[labelled]
    predictions = ClassPredictions(
        classes,
        probabilities.argmax(1),
        group_indices([rows[int(n)]["group"] for n in labelled]),
        len(target.classes),
        probabilities,
    )
    sizes = np.bincount(predictions.groups)
    by_photographer = group_intervals(lambda weights: predictions.metrics(weights / sizes), sizes, SCALES)
    result: dict[str, Any] = {
        "photographs": len(labelled),
        "photographers": len(sizes),
        "metrics": estimates(predictions),
        "by_photographer": by_photographer,
    }
    if target.ordinal:
        stops = stops_of(rows, target)[labelled]
        distributions = [StopsDistribution(row, target.stops) for row in probabilities]
        middles = np.asarray([distribution.median() for distribution in distributions])
        errors = errors_in_stops(np.abs(middles - stops), np.abs(median - stops), predictions.groups)
        result["metrics"]["mae_stops"] = errors["error"]
        by_photographer["mae_stops"] = errors["by_photographer"]
        result |= {
            "median_mae_stops": errors["median"],
            "gain": errors["gain"],
            "interval_coverage": coverage(distributions, stops),
        }
    return result


def summary(result: dict[str, Any]) -> str:
    """Return the main metrics of a target in one line."""
    metrics = result["metrics"]
    counts = f"{result['photographs']} photographs, {result['photographers']} photographers"
    text = f"ECE {metrics['ece']['value']:.3f}, {counts}"
    if "mae_stops" in metrics:
        gain = format_estimate(result["gain"])
        error = format_estimate(metrics["mae_stops"], percent=False)
        coverage = f"coverage {result['interval_coverage']:.3f}"
        return f"MAE {error}, {gain} less than the median's, {coverage}, {text}"
    accuracy, f1 = format_estimate(metrics["balanced_accuracy"]), format_estimate(metrics["macro_f1"], percent=False)
    return f"balanced accuracy {accuracy}, macro F1 {f1}, {text}"
