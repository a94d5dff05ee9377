"""Runs side by side, to read: tables, and one self-contained page."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightmeter.files import write_atomic
from lightmeter.models.evaluation.plots import comparison_plot
from lightmeter.models.evaluation.report import FIGURES, SHARES, figure_told, filled

EFFORT = {"seconds": "training, seconds", "energy_joules": "energy of training, joules"}
"""What training took, and how it is called."""

_FIRST = ("macro_f1", "balanced_accuracy", "mean_average_precision", "error_stops")  # of which there is a plot
_BESIDE = 4  # runs that fit beside each other
_ENDS = ("value", "low", "high")


def comparison_table(compared: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return runs side by side to read: headings, and rows.

    There are the first run's figures, and of the others also how they differ from it. A run is a column; of many runs
    each is a row.
    """
    runs = list(compared["runs"].values())
    rows = [["figure", *compared["runs"]]]
    for name, label in FIGURES.items():
        if any(name in run for run in runs):
            rows.append([label, *(figure_told(name, run) + _difference(name, run) for run in runs)])
    for name, label in EFFORT.items():
        if any(run[name] is not None for run in runs):
            rows.append([label, *(_effort(name, run) for run in runs)])
    if len(runs) > _BESIDE:
        rows = [[cell.replace(" [", "\n[") for cell in line] for line in zip(*rows, strict=True)]
        rows[0][0] = "run"
    return rows[0], rows[1:]


def write_page(file: Path, comparison: Mapping[str, Any]) -> None:
    """Write the comparison as one self-contained page.

    Args:
        file: to be written.
        comparison: the document of ``models compare``.
    """
    plots = {
        name: [
            base64.b64encode(comparison_plot(target["runs"], figure, FIGURES[figure], name)).decode()
            for figure in _FIRST
            if all(figure in run for run in target["runs"].values())
        ]
        for name, target in comparison["targets"].items()
    }
    write_atomic(file, filled("comparison.html", {"comparison": comparison, "table": comparison_table, "plots": plots}))


def _difference(name: str, run: Mapping[str, Any]) -> str:
    """Return how a figure differs from the first run's; shares differ by points, since percents would be of what."""
    difference = run["difference"].get(name)
    if not difference or difference["value"] is None:
        return ""
    scale, digits, unit = (100, 1, " points") if name in SHARES else (1, 2, "")
    value, *ends = (f"{difference[key] * scale:+.{digits}f}" for key in _ENDS if difference[key] is not None)
    return f"\nΔ {value}{unit}" + (f" [{', '.join(ends)}]" if ends else "")


def _effort(name: str, run: Mapping[str, Any]) -> str:
    if run[name] is None:
        return "–"
    difference = run.get(f"{name}_difference_percent")
    return f"{run[name]:,.1f}" + ("" if difference is None else f"\nΔ {difference:+.1f} %")
