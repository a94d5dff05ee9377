"""Report of a run: model card, self-contained HTML page, plots and training history."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lightmeter.bootstrap import Estimate, few_groups_warning, format_estimate
from lightmeter.files import write_atomic
from lightmeter.models.evaluation.baselines import best_baseline, main_metric
from lightmeter.models.evaluation.examples import photographs_url, read_examples
from lightmeter.models.evaluation.mistakes import mistakes_file
from lightmeter.models.evaluation.plots import (
    confusion_plot,
    data_url,
    history_plot,
    per_class_plot,
    reliability_plot,
    stops_plot,
)
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.style import document_environment
from lightmeter.style.plots import Plot

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "mean_average_precision": "mean average precision",
    "mae_stops": "MAE (stops)",
    "within_one_stop": "within ±1 stop",
    "within_one_class": "within ±1 class",
    "log_loss": "log loss",
    "ece_uncalibrated": "raw ECE",
    "ece": "ECE",
}
"""Labels of the reported metrics, by their key in ``metrics.json``."""

_MAX_MATRIX = 30  # classes of a confusion matrix as a table

PERCENT_METRICS = ("accuracy", "balanced_accuracy", "within_one_stop", "within_one_class")


def write_report(
    folder: Path,
    spec: ModelSpec,
    metrics: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> None:
    """Write ``README.md``, ``report.html`` and ``plots/`` into a run folder.

    Args:
        folder: Run folder with ``history.csv``.
        spec: Spec of the model.
        metrics: Content of ``metrics.json``.
        predictions: Rows of ``predictions.parquet``.
        settings: Every setting of the recipe, by its key.
    """
    splits = [(split, metrics[split]) for split in ("test", "validation") if split in metrics]
    history = read_history(folder)
    curve = history_plot(history) if history else None
    if curve:
        write_atomic(folder / "plots" / "training.png", curve.png())
    plots = {}
    examples = {}
    for split, scores in splits:
        for name, target in scores["targets"].items():
            rows = [row for row in predictions if row["split"] == split and row["target"] == name]
            shown = dict(_plots(split, name, target, rows, spec))
            for file, plot in shown.items():
                write_atomic(folder / "plots" / file, plot.png())
            if matrix_table(target):  # which is clearer, and links to the photographs
                shown.pop(f"{split}-{name}-confusion.png", None)
            plots[split, name] = [Markup(plot.svg()) for plot in shown.values()]  # noqa: S704 - matplotlib escapes text
            if split == "test":
                examples[name] = read_examples(folder, name, rows, target["classes"])
            mistakes = folder / "plots" / mistakes_file(split, name)
            if mistakes.is_file():
                url = data_url(mistakes.read_bytes())
                plots[split, name].append(Markup('<img alt="Most confident errors" src="{}">').format(url))
    context = {
        "spec": spec,
        "metrics": metrics,
        "splits": splits,
        "metric_rows": metric_rows,
        "breakdown_table": breakdown_table,
        "details": _details(metrics["training"]),
        "settings": {key: setting_text(value) for key, value in settings.items()},
        "few_groups": few_groups_warning,
        "plots": plots,
        "answers": {name: answer(name, target) for name, target in splits[0][1]["targets"].items()} if splits else {},
        "examples": examples,
        "matrix": matrix_table,
        "cell_url": photographs_url,
        "curve": Markup(curve.svg()) if curve else "",  # noqa: S704 - matplotlib escapes text
    }
    for file in ("README.md", "report.html"):
        write_atomic(folder / file, render(file, context))


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template of this package."""
    templates = document_environment("lightmeter.models.evaluation")
    return templates.get_template(f"{template}.jinja").render(context)


def metric_rows(target: Mapping[str, Any]) -> list[list[str]]:
    """Return the metrics of one target as text: a row per metric with the model's value and each baseline's."""
    return [
        [label, *(formatted_metric(name, scores) for scores in (target, *target["baselines"].values()))]
        for name, label in METRICS.items()
        if name in target
    ]


def answer(name: str, scores: Mapping[str, Any]) -> str:
    """Return in one sentence how well a model predicts a target, and whether that is better than the baselines."""
    metric = main_metric(scores)
    text = f"{name}: {METRICS[metric]} {formatted_metric(metric, scores)}"
    if "within_one_stop" in scores:
        text += f", within one stop {formatted_metric('within_one_stop', scores)}"
    best = best_baseline(scores["baselines"])
    if best is None:
        return f"{text}."
    baseline = scores["baselines"][best]
    named = f"the best baseline ({best}, {_formatted_value(metric, baseline[metric]['value'])})"
    return f"{text}: {_verdict(baseline['difference'][metric], named)}."


def _verdict(difference: Estimate, baseline: str) -> str:
    """Return whether a model is better than a baseline, and by how many points."""
    value, low, high = difference["value"], difference["low"], difference["high"]
    if value is None or low is None or high is None:
        return f"too few groups to compare it with {baseline}"
    points = f"{abs(value) * 100:.0f} points"
    if low > 0:
        return f"better than {baseline} by {points} [{low * 100:.0f}, {high * 100:.0f}]"
    if high < 0:
        return f"worse than {baseline} by {points} [{-high * 100:.0f}, {-low * 100:.0f}]"
    return f"not clearly better than {baseline}: {value * 100:+.0f} points [{low * 100:+.0f}, {high * 100:+.0f}]"


def matrix_table(scores: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the confusion matrix as rows: true class, and for each predicted class its name and the count."""
    classes = scores["classes"]
    if "confusion_matrix" not in scores or len(classes) > _MAX_MATRIX:
        return []
    counts = zip(classes, scores["confusion_matrix"], strict=True)
    return [(truth, list(zip(classes, map(int, row), strict=True))) for truth, row in counts]


def breakdown_table(parts: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the metrics of each source or camera as text: header and rows."""
    names = [name for name in METRICS if name in next(iter(parts.values()))]
    rows = [
        [part, str(scores["photographs"]), *(_formatted_value(name, scores[name]) for name in names)]
        for part, scores in parts.items()
    ]
    return ["photographs", *(METRICS[name] for name in names)], rows


def formatted_metric(name: str, scores: Mapping[str, Any]) -> str:
    """Return a metric with its interval as text, a dash if it is missing."""
    return format_estimate(scores[name], percent=name in PERCENT_METRICS) if name in scores else "–"


def setting_text(value: object) -> str:
    """Return the value of a recipe's setting as it is written in TOML."""
    return json.dumps(value, ensure_ascii=False)


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.csv``."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in history for name in row)  # the columns differ between kinds of heads
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(folder / "history.csv", text.getvalue())


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``history.csv`` with numbers as floats and without empty cells."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k == "target" else float(v) for k, v in row.items() if v} for row in rows]


def _formatted_value(name: str, value: float) -> str:
    return format_estimate(Estimate(value=value, low=None, high=None), percent=name in PERCENT_METRICS)


def _plots(
    split: str, name: str, scores: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], spec: ModelSpec
) -> Iterator[tuple[str, Plot]]:
    """Yield the file name and the plot of each kind of a target."""
    title = f"{name}, {split}"
    if "confusion_matrix" in scores:
        yield f"{split}-{name}-confusion.png", confusion_plot(scores, f"{title}: confusion matrix")
    else:
        yield f"{split}-{name}-classes.png", per_class_plot(scores, f"{title}: classes")
    yield f"{split}-{name}-reliability.png", reliability_plot(scores, f"{title}: reliability")
    if "mae_stops" in scores:
        (unit,) = [target.unit for target in spec.targets if target.name == name]
        yield f"{split}-{name}-stops.png", stops_plot(rows, unit, f"{title}: predicted and true stops")


def _details(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts about training as labels and texts."""
    details = []
    for key, value in training.items():
        label = key.replace("_", " ")
        nested = value.items() if isinstance(value, Mapping) else [("", value)]
        details += [(f"{label}, {part}" if part else label, _text(part or key, entry)) for part, entry in nested]
    return details


def _text(key: str, value: object) -> str:
    if isinstance(value, int) and key != "seed":
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
