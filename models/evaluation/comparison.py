"""Comparison of runs on the photographs that all of them predicted: metrics, differences, resource usage, page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lightmeter.bootstrap import few_groups_warning, format_estimate
from lightmeter.errors import UsageError
from lightmeter.files import write_output
from lightmeter.models.evaluation.metrics.base import estimated_differences, estimates, n_groups
from lightmeter.models.evaluation.plots import comparison_plot
from lightmeter.models.evaluation.predictions import target_predictions
from lightmeter.models.evaluation.report import METRICS, PERCENT_METRICS, formatted_metric, render, setting_text
from lightmeter.models.runtime.spec import ModelSpec, Target
from lightmeter.models.training.data.loader import photograph_key
from lightmeter.models.training.recipe import flat_settings
from lightmeter.models.training.runs import read_predictions, read_run_recipe

RESOURCES = {"seconds": "training time (s)", "energy_joules": "training energy (J)"}
"""Resource usage of training; energy is known only where the machine measures it."""

_PLOTTED = ("macro_f1", "balanced_accuracy", "mean_average_precision", "mae_stops")
_MAX_COLUMNS = 4

Rows = dict[tuple[str, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class ScoredRun:
    """A run with its predictions.

    Attributes:
        spec: Spec of its model.
        predictions: Rows of ``predictions.parquet`` of one split.
        settings: Every setting of its recipe, by its key.
    """

    spec: ModelSpec
    predictions: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]

    def target(self, name: str) -> Target:
        """Return a target of the model by its name."""
        return next(target for target in self.spec.targets if target.name == name)


def load_run_scores(folder: Path, spec: ModelSpec, split: str) -> ScoredRun:
    """Read a run's predictions of one split.

    Raises:
        UsageError: The run has none.
    """
    rows = [row for row in read_predictions(folder) if row["split"] == split]
    if not rows:
        raise UsageError(
            f"Run {spec.name} has no predictions for the {split} split; run 'lightmeter models evaluate' first."
        )
    recipe = read_run_recipe(folder)
    return ScoredRun(spec, rows, {"recipe": recipe.name, **flat_settings(recipe)})


def compare(runs: Sequence[ScoredRun]) -> dict[str, Any]:
    """Return the metrics of runs by target, with their differences from the first run.

    Raises:
        UsageError: The runs have no predicted photograph in common.
    """
    names = [target.name for target in runs[0].spec.targets if all(target.name in run.spec.classes for run in runs)]
    compared = {name: _compare_target(runs, name) for name in names}
    if not any(compared.values()):
        raise UsageError("These runs predicted no photograph in common; compare runs of the same data set.")
    return {name: document for name, document in compared.items() if document}


def comparison_table(compared: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the comparison of one target as text: header and rows.

    Each run is a column; with many runs each run is a row.
    """
    runs = list(compared["runs"].values())
    rows = [["metric", *compared["runs"]]]
    for name, label in METRICS.items():
        if any(name in run for run in runs):
            rows.append([label, *(formatted_metric(name, run) + _difference(name, run) for run in runs)])
    for name, label in RESOURCES.items():
        if any(run[name] is not None for run in runs):
            rows.append([label, *(_resources(name, run) for run in runs)])
    if len(runs) > _MAX_COLUMNS:
        rows = [[cell.replace(" [", "\n[") for cell in line] for line in zip(*rows, strict=True)]
        rows[0][0] = "run"
    return rows[0], rows[1:]


def compare_settings(runs: Sequence[ScoredRun]) -> dict[str, dict[str, Any]]:
    """Return the settings of the recipes of runs, by run and key."""
    return {label: dict(run.settings) for label, run in zip(_labels(runs), runs, strict=True)}


def settings_table(settings: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the settings that differ between runs as text: header and rows.

    Args:
        settings: Result of `compare_settings`.
    """
    keys = dict.fromkeys(key for values in settings.values() for key in values)
    rows = [[key, *(setting_text(v[key]) if key in v else "–" for v in settings.values())] for key in keys]
    return ["setting", *settings], [row for row in rows if len(set(row[1:])) > 1]


def write_page(file: Path, comparison: Mapping[str, Any]) -> None:
    """Write the document of ``models compare`` as a self-contained HTML page."""
    plots = {
        name: [
            Markup(comparison_plot(target["runs"], metric, METRICS[metric], name).svg())  # noqa: S704 - matplotlib escapes text
            for metric in _PLOTTED
            if all(metric in run for run in target["runs"].values())
        ]
        for name, target in comparison["targets"].items()
    }
    header, rows = settings_table(comparison["settings"])
    context = {
        "comparison": comparison,
        "table": comparison_table,
        "plots": plots,
        "settings_header": header,
        "settings_rows": rows,
        "few_groups": few_groups_warning,
    }
    write_output(file, render("comparison.html", context))


def _compare_target(runs: Sequence[ScoredRun], name: str) -> dict[str, Any]:
    if len({run.target(name).classes for run in runs}) > 1:
        raise UsageError(f"The classes of '{name}' differ between these runs; compare runs of the same data set.")
    by_photo: list[Rows] = [
        {photograph_key(row): row for row in run.predictions if row["target"] == name} for run in runs
    ]
    common = sorted(set.intersection(*(set(rows) for rows in by_photo)))
    if not common:
        return {}
    predictions = [
        target_predictions([rows[photo] for photo in common], run.target(name))
        for run, rows in zip(runs, by_photo, strict=True)
    ]
    reference = predictions[0]
    for other in predictions[1:]:
        if not (np.array_equal(reference.truth, other.truth) and np.array_equal(reference.groups, other.groups)):
            raise UsageError(f"The labels of '{name}' differ between these runs; compare runs of the same data set.")
    return {
        "photographs": len(common),
        "groups": n_groups(reference),
        "runs": {
            label: {
                **estimates(own),
                "difference": {} if own is reference else estimated_differences(reference, own),
                **_resource_usage(run, runs[0]),
            }
            for label, run, own in zip(_labels(runs), runs, predictions, strict=True)
        },
    }


def _labels(runs: Sequence[ScoredRun]) -> list[str]:
    """Return the names of the runs, numbered where two runs have the same name."""
    names = [run.spec.name for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({index + 1})" for index, name in enumerate(names)]


def _resource_usage(run: ScoredRun, reference: ScoredRun) -> dict[str, Any]:
    """Return the resource usage of training, and its difference from the reference in percent."""
    usage: dict[str, Any] = {}
    for key in RESOURCES:
        own, other = run.spec.training.get(key), reference.spec.training.get(key)
        usage[key] = own
        if run is not reference and own and other:
            usage[f"{key}_difference_percent"] = 100 * (own / other - 1)
    return usage


def _difference(name: str, run: Mapping[str, Any]) -> str:
    """Return the difference from the first run as text."""
    difference = run["difference"].get(name)
    if not difference or difference["value"] is None:
        return ""
    return f"\nΔ {format_estimate(difference, percent=name in PERCENT_METRICS, signed=True)}"


def _resources(name: str, run: Mapping[str, Any]) -> str:
    if run[name] is None:
        return "–"
    difference = run.get(f"{name}_difference_percent")
    return f"{run[name]:,.1f}" + ("" if difference is None else f"\nΔ {difference:+.1f} %")
