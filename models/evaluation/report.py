"""Report of a run: model card, self-contained HTML page, plots and training history."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from lightmeter.bootstrap import Estimate, few_groups_warning, format_estimate
from lightmeter.files import write_atomic
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
    curve = history_plot(history) if history else b""
    if curve:
        write_atomic(folder / "plots" / "training.png", curve)
    plots = {}
    for split, scores in splits:
        for name, target in scores["targets"].items():
            rows = [row for row in predictions if row["split"] == split and row["target"] == name]
            images = dict(_plots(split, name, target, rows, spec))
            for file, content in images.items():
                write_atomic(folder / "plots" / file, content)
            mistakes = folder / "plots" / mistakes_file(split, name)
            if mistakes.is_file():
                images[mistakes.name] = mistakes.read_bytes()
            plots[split, name] = [(file, data_url(png)) for file, png in images.items()]
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
        "curve": data_url(curve) if curve else "",
    }
    for file in ("README.md", "report.html"):
        write_atomic(folder / file, render(file, context))


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template of this package."""
    templates = Environment(
        loader=PackageLoader("lightmeter.models.evaluation"),
        autoescape=select_autoescape(("html.jinja",)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return templates.get_template(f"{template}.jinja").render(context)


def metric_rows(target: Mapping[str, Any]) -> list[list[str]]:
    """Return the metrics of one target as text: a row per metric with the model's value and each baseline's."""
    return [
        [label, *(formatted_metric(name, scores) for scores in (target, *target["baselines"].values()))]
        for name, label in METRICS.items()
        if name in target
    ]


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
) -> Iterator[tuple[str, bytes]]:
    """Yield file name and PNG of each plot of a target."""
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
