"""What a person reads of a run: the card, one self-contained page, the plots, the history."""

import base64
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from lightmeter.bootstrap import format_estimate
from lightmeter.files import write_atomic
from lightmeter.models.evaluation.mistakes import mistakes_file
from lightmeter.models.evaluation.plots import classes_plot, confusion_plot, history_plot, reliability_plot, stops_plot
from lightmeter.models.runtime.spec import ModelSpec

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
    "error_stops": "mean error in stops",
    "within_one_stop": "within one stop",
    "within_one_class": "at most one class off",
    "ece_before": "ECE, uncalibrated",
    "ece": "ECE",
}
"""Every figure that is reported, and how it is called."""

PARTS = {"accuracy": "accuracy", "macro_f1": "macro F1", "error_stops": "error in stops"}
"""What is told of a source or a camera."""

SHARES = ("accuracy", "balanced_accuracy", "within_one_stop", "within_one_class")


def write_report(
    folder: Path, spec: ModelSpec, metrics: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]]
) -> None:
    """Write ``README.md``, ``report.html`` and ``plots/`` into a run folder."""
    splits = [(split, metrics[split]) for split in ("test", "validation") if split in metrics]
    history = read_history(folder)
    plots = {}
    curve = history_plot(history) if history else b""
    if curve:
        write_atomic(folder / "plots" / "training.png", curve)
    for split, scored in splits:
        for name, target in scored["targets"].items():
            rows = [row for row in predictions if row["split"] == split and row["target"] == name]
            pictures = dict(_plots(split, name, target, rows, spec))
            for file, content in pictures.items():
                write_atomic(folder / "plots" / file, content)
            sheet = folder / "plots" / mistakes_file(split, name)
            if sheet.is_file():
                pictures[sheet.name] = sheet.read_bytes()
            plots[split, name] = [(file, base64.b64encode(png).decode()) for file, png in pictures.items()]
    values = {
        "spec": spec,
        "metrics": metrics,
        "splits": splits,
        "evaluated": "test" in metrics,
        "rows": figure_rows,
        "part_rows": part_rows,
        "facts": _facts(metrics["training"]),
        "plots": plots,
        "curve": base64.b64encode(curve).decode(),
    }
    for file in ("README.md", "report.html"):
        write_atomic(folder / file, filled(file, values))


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Return one of this floor's templates, filled in."""
    templates = Environment(
        loader=PackageLoader("lightmeter.models.evaluation"),
        autoescape=select_autoescape(("html.jinja",)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return templates.get_template(f"{template}.jinja").render(values)


def figure_rows(target: Mapping[str, Any]) -> list[list[str]]:
    """Return the figures of one target to read: what it is, this model's, each baseline's."""
    return [
        [label, *(figure_told(name, scored) for scored in (target, *target["baselines"].values()))]
        for name, label in FIGURES.items()
        if name in target
    ]


def part_rows(parts: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the figures of sources or cameras to read: headings, and a row each."""
    shown = [name for name in PARTS if name in next(iter(parts.values()))]
    rows = []
    for part, figures in parts.items():
        cells = [format_estimate({"value": figures[name], "low": None}, percent=name in SHARES) for name in shown]
        rows.append([part, str(figures["photographs"]), *cells])
    return ["photographs", *(PARTS[name] for name in shown)], rows


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.csv``."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in history for name in row)  # targets may be fitted in different ways
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(folder / "history.csv", text.getvalue())


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``history.csv``, numbers as numbers, without what is empty."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k == "target" else float(v) for k, v in row.items() if v} for row in rows]


def figure_told(name: str, scored: Mapping[str, Any]) -> str:
    """Return a figure to read, a dash where there is none."""
    return format_estimate(scored[name], percent=name in SHARES) if name in scored else "–"


def _plots(
    split: str, name: str, target: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], spec: ModelSpec
) -> Iterator[tuple[str, bytes]]:
    if "confusion" in target:
        yield f"{split}-{name}-confusion.png", confusion_plot(target, f"{name}, {split}: answers")
    else:
        yield f"{split}-{name}-classes.png", classes_plot(target, f"{name}, {split}: classes")
    yield f"{split}-{name}-reliability.png", reliability_plot(target, f"{name}, {split}: reliability")
    (unit,) = [one.unit for one in spec.targets if one.name == name]
    if "error_stops" in target:
        yield f"{split}-{name}-stops.png", stops_plot(rows, unit, f"{name}, {split}: stops")


def _facts(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for key, value in training.items():
        if isinstance(value, Mapping):
            facts += [(f"{key.replace('_', ' ')}, {part}", _fact(part, inner)) for part, inner in value.items()]
        else:
            facts.append((key.replace("_", " "), _fact(key, value)))
    return facts


def _fact(key: str, value: object) -> str:
    if isinstance(value, int) and key != "seed":
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
