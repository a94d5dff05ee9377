"""Pictures of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from labels.counts import class_counts
from labels.dataset import SPLITS, TargetSpec, stops_column
from lightmeter.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"train": "#1f77b4", "validation": "#ff7f0e", "test": "#2ca02c"}
_CROWDED = 8
_BINS = 60


def plot_classes(file: Path, target: TargetSpec, manifest: pa.Table) -> None:
    """Draw how many photographs each class has on each side."""
    counts = class_counts(manifest, target)
    figure = _figure()
    axes = figure.subplots()
    bottom = np.zeros(len(target.classes))
    for side in SPLITS:
        heights = np.asarray([counts[name][side] for name in target.classes])
        axes.bar(target.classes, heights, bottom=bottom, label=side, color=_COLOURS[side])
        bottom += heights
    axes.set(title=f"{target.name}: photographs by class and side", ylabel="photographs")
    axes.tick_params(axis="x", rotation=45 if len(target.classes) > _CROWDED else 0)
    axes.legend()
    _save(figure, file)


def plot_values(file: Path, target: TargetSpec, manifest: pa.Table) -> None:
    """Draw the measured values before they were binned, with the classes' numbers; nothing if there are none."""
    numbers = manifest.column(stops_column(target.name)).drop_null().to_numpy()
    if not target.unit or not len(numbers):
        return
    figure = _figure()
    axes = figure.subplots()
    axes.hist(numbers, bins=_BINS, color="#7f7f7f")
    for stops in target.stops:
        axes.axvline(stops, color="#d62728", linewidth=0.6)
    axes.set(
        title=f"{target.name}: values" + (" (lines: the classes' numbers)" if target.stops else ""),
        xlabel=target.unit,
        ylabel="photographs",
    )
    _save(figure, file)


def _figure() -> "Figure":
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(8, 4.5), dpi=110, layout="constrained")


def _save(figure: "Figure", file: Path) -> None:
    with atomic_path(file) as temporary:
        figure.savefig(temporary, format="png")
