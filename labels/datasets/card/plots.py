"""Plots of labels and data sets."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from lightmeter.files import write_output
from lightmeter.labels.annotations.statistics import Statistics, histogram_edges
from lightmeter.labels.datasets.dataset import SplitCounts, class_counts
from lightmeter.labels.datasets.manifest import SPLITS, stops_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.labels.targets.base import Target
from lightmeter.style.plots import (
    BLUE,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    YELLOW,
    Plot,
    count_axis,
    legend_above,
    quantity_of,
    setting_axis,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 15
"""Maximum number of values of a facet that are shown."""

_SPLIT_COLOURS = {"train": BLUE, "validation": YELLOW, "test": GREEN}
_LABELLED, _EXCLUDED, _FILTERED = BLUE, ORANGE, PURPLE
_WIDTH, _HEIGHT = 8.0, 4.5  # inches
_BASE_HEIGHT, _BAR_HEIGHT = 1.3, 0.22  # of a plot with horizontal bars
_MAX_LETTERS = 70  # horizontal tick labels in one line
_MAX_BARS = 60
_MAX_CLASSES = 40


@styled
def class_plot(target: TargetSpec, manifest: pa.Table) -> Plot:
    """Return the photographs of each class by split."""
    figure, axes = _figure()
    _stacked_bars(axes, class_counts(manifest, target))
    axes.set(title=f"{target.name}: photographs by class and split", ylabel="photographs")
    legend_above(axes)
    return Plot(figure, f"{target.name}-classes")


@styled
def facet_plot(title: str, rows: Iterable[tuple[str | None, SplitCounts]]) -> Plot:
    """Return the photographs of the most frequent values of a facet, or of each year, by split.

    Args:
        title: Title of the facet.
        rows: Values, None for unknown, with their counts by split.
    """
    counts = {name or "unknown": by_split for name, by_split in rows}
    if title == "Years":
        figure, axes = _figure()
        _stacked_bars(axes, _with_gaps(counts))
        axes.set(title="Photographs by year and split", ylabel="photographs")
    else:
        shown = dict(islice(counts.items(), MAX_ROWS))
        figure, axes = _figure(_BASE_HEIGHT + _BAR_HEIGHT * len(shown))
        _stacked_bars(axes, shown, horizontal=True)
        more = f", top {MAX_ROWS} of {len(counts)}" if len(counts) > MAX_ROWS else ""
        axes.set(title=f"{title}: photographs by split{more}", xlabel="photographs")
    legend_above(axes)
    return Plot(figure, title.lower())


@styled
def value_plot(target: TargetSpec, manifest: pa.Table) -> Plot | None:
    """Return the histogram of a target's measured values; None if there are none."""
    values = manifest[stops_column(target.name)].drop_null().to_numpy() if target.unit else []
    if not len(values):
        return None
    figure, axes = _figure()
    axes.hist(values, bins=histogram_edges(values, target.unit, _MAX_BARS).tolist(), color=GREY)
    _class_lines(axes, target.stops, _EXCLUDED)
    title = f"{target.name}: measured values" + (" (lines: the classes)" if target.stops else "")
    axes.set(title=title, xlabel=quantity_of(target.unit), ylabel="photographs")
    setting_axis(axes.xaxis, target.unit, float(min(values)), float(max(values)))
    count_axis(axes.yaxis)
    return Plot(figure, f"{target.name}-values")


@styled
def plot_statistics(file: Path, target: Target[Any], statistics: Statistics) -> None:
    """Plot the values of a target before binning, its classes, and why photographs are excluded.

    Args:
        file: PNG file to write.
        target: Target of the labels.
        statistics: Statistics of its labels.
    """
    excluded = dict(statistics.excluded.most_common(MAX_ROWS))
    filtered = {f"filter {name}": count for name, count in statistics.filtered.most_common() if count}
    parts: list[tuple[float, Callable[[Axes], None]]] = [(4.0, lambda axes: _draw_classes(axes, target, statistics))]
    if statistics.in_class or statistics.outside:
        parts.insert(0, (4.0, lambda axes: _draw_values(axes, target, statistics)))
    if excluded or filtered:
        height = 1.2 + 0.25 * (len(excluded) + len(filtered))
        parts.append((height, lambda axes: _draw_excluded(axes, excluded, filtered)))
    heights, draw_functions = zip(*parts, strict=True)
    figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(parts), squeeze=False, height_ratios=heights)
    for axes, draw in zip(grid[:, 0], draw_functions, strict=True):
        draw(axes)
    write_output(file, Plot(figure).png())


def _draw_values(axes: "Axes", target: Target[Any], statistics: Statistics) -> None:
    edges, in_class, outside = statistics.histogram(target.unit, _MAX_BARS)
    axes.stairs(in_class + outside, edges, fill=True, color=_EXCLUDED, label="excluded")
    axes.stairs(in_class, edges, fill=True, color=_LABELLED, label="labelled")
    _class_lines(axes, target.stops, GREY)
    axes.set(title=f"{target.name}: measured values", xlabel=quantity_of(target.unit), ylabel="photographs")
    setting_axis(axes.xaxis, target.unit, float(edges[0]), float(edges[-1]))
    count_axis(axes.yaxis)
    legend_above(axes)


def _draw_classes(axes: "Axes", target: Target[Any], statistics: Statistics) -> None:
    classes = dict(islice(statistics.classes.items(), _MAX_CLASSES))
    more = f", top {_MAX_CLASSES} of {len(statistics.classes)}" if len(statistics.classes) > _MAX_CLASSES else ""
    axes.bar(list(classes), list(classes.values()), color=_LABELLED)
    axes.set(title=f"{target.name}: classes{more}", ylabel="photographs")
    axes.set_ylim(0, max([*classes.values(), 1]) * 1.05)
    count_axis(axes.yaxis)
    axes.grid(visible=False, axis="x")
    _rotate_long_labels(axes, classes)


def _draw_excluded(axes: "Axes", excluded: Mapping[str, int], filtered: Mapping[str, int]) -> None:
    for counts, colour, label in (
        (excluded, _EXCLUDED, "by the rule"),
        (filtered, _FILTERED, "by filters, of the labelled photographs"),
    ):
        if counts:
            axes.bar_label(axes.barh(list(counts), list(counts.values()), color=colour, label=label), padding=3)
    axes.set_ylim(len(excluded) + len(filtered) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set(title="Excluded photographs", xlabel="photographs")
    count_axis(axes.xaxis)
    axes.grid(visible=False, axis="y")
    legend_above(axes)


def _stacked_bars(axes: "Axes", rows: Mapping[str, SplitCounts], *, horizontal: bool = False) -> None:
    start = np.zeros(len(rows), dtype=np.int64)
    for split in SPLITS:
        counts = np.asarray([by_split[split] for by_split in rows.values()], dtype=np.int64)
        if horizontal:
            axes.barh(list(rows), counts, left=start, label=split, color=_SPLIT_COLOURS[split])
        else:
            axes.bar(list(rows), counts, bottom=start, label=split, color=_SPLIT_COLOURS[split])
        start = start + counts
    if horizontal:
        axes.set_ylim(len(rows) - 0.5, -0.5)  # first row on top
        count_axis(axes.xaxis)
    else:
        _rotate_long_labels(axes, rows)
        count_axis(axes.yaxis)
    axes.grid(visible=False, axis="y" if horizontal else "x")


def _with_gaps(rows: Mapping[str, SplitCounts]) -> dict[str, SplitCounts]:
    """Return the counts of years in order, with the years between them that have no photographs."""
    years = sorted(int(name) for name in rows if name.isdigit())
    others = {name: counts for name, counts in rows.items() if not name.isdigit()}
    if not years or years[-1] - years[0] > _MAX_CLASSES:
        return dict(rows)
    empty = dict.fromkeys(SPLITS, 0)
    return {str(year): rows.get(str(year), empty) for year in range(years[0], years[-1] + 1)} | others


def _class_lines(axes: "Axes", stops: Iterable[float], colour: str) -> None:
    for value in stops:
        axes.axvline(value, color=colour, linewidth=0.6)


def _rotate_long_labels(axes: "Axes", labels: Iterable[str]) -> None:
    if sum(len(label) + 3 for label in labels) > _MAX_LETTERS:
        axes.tick_params(axis="x", rotation=90)


def _figure(height: float = _HEIGHT) -> "tuple[Figure, Axes]":
    figure = Figure(figsize=(_WIDTH, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots()
