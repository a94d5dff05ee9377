"""Pictures of labels and of data sets."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lightmeter.files import atomic_path
from lightmeter.labels.annotations.histogram import edges
from lightmeter.labels.annotations.statistics import Statistics
from lightmeter.labels.datasets.counts import Facet, class_counts
from lightmeter.labels.datasets.dataset import SPLITS, Split, TargetSpec, stops_column
from lightmeter.labels.targets.base import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"train": "#1f77b4", "validation": "#ff7f0e", "test": "#2ca02c"}
TOP = 15
"""Of what is many, so many are shown."""
_FEW = 5
_LETTERS = 70  # so many stand side by side
_BARS = 60
_MOST_CLASSES = 40
_KEPT, _LOST, _FILTERED = "#1f77b4", "#d62728", "#ff7f0e"


def plot_classes(file: Path, target: TargetSpec, manifest: pa.Table) -> None:
    """Draw how many photographs each class has on each side."""
    counts = class_counts(manifest, target)
    figure = _figure()
    axes = figure.subplots()
    for side, heights, below in _stacked(counts):
        axes.bar(list(counts), heights, bottom=below, label=side, color=_COLOURS[side])
    axes.set(title=f"{target.name}: photographs by class and side", ylabel="photographs")
    _turn(axes, counts)
    axes.legend()
    _save(figure, file)


def plot_statistics(file: Path, target: Target[Any], found: Statistics) -> None:
    """Draw the values of a target before they were binned, where it has numbers, its classes after, and what is lost.

    Args:
        file: to write.
        target: whose labels.
        found: what they are.
    """
    lost = _lost(found)
    parts: list[tuple[float, Callable[[Axes], None]]] = [(4.0, lambda axes: _draw_classes(axes, target, found))]
    if found.binned or found.unbinned:
        parts.insert(0, (4.0, lambda axes: _draw_values(axes, target, found)))
    if lost:
        parts.append((1.2 + 0.25 * len(lost), lambda axes: _draw_lost(axes, lost)))
    figure = _figure(sum(height for height, _ in parts))
    grid = figure.subplots(len(parts), squeeze=False, height_ratios=[height for height, _ in parts])
    for axes, (_, part) in zip(grid[:, 0], parts, strict=True):
        part(axes)
    _save(figure, file)


def _draw_values(axes: "Axes", target: Target[Any], found: Statistics) -> None:
    sides, binned, unbinned = found.histogram(target.unit, _BARS)
    axes.stairs(binned + unbinned, sides, fill=True, color=_LOST, label="left out")
    axes.stairs(binned, sides, fill=True, color=_KEPT, label="in a class")
    for stops in target.stops:
        axes.axvline(stops, color="#7f7f7f", linewidth=0.6)
    axes.set(title=f"{target.name}: values before binning", xlabel=target.unit, ylabel="photographs")
    axes.legend()


def _draw_classes(axes: "Axes", target: Target[Any], found: Statistics) -> None:
    shown = dict(islice(found.classes.items(), _MOST_CLASSES))
    more = f", the {_MOST_CLASSES} commonest of {len(found.classes)}" if len(found.classes) > _MOST_CLASSES else ""
    axes.bar(list(shown), list(shown.values()), color=_KEPT)
    axes.set(title=f"{target.name}: classes{more}", ylabel="photographs")
    axes.set_ylim(0, max([*shown.values(), 1]) * 1.05)
    _turn(axes, shown)


def _lost(found: Statistics) -> dict[str, tuple[int, str]]:
    """Return what leaves photographs out, with their number and a colour: the rule's reasons and then the filters."""
    reasons = [(reason, (count, _LOST)) for reason, count in found.left_out.most_common(TOP)]
    filters = [(f"filter {name}", (count, _FILTERED)) for name, count in found.filtered.most_common() if count]
    return dict([*reasons, *filters])


def _draw_lost(axes: "Axes", lost: Mapping[str, tuple[int, str]]) -> None:
    for colour, by in ((_LOST, "by the rule"), (_FILTERED, "by filters, of the labelled")):
        bars = {name: count for name, (count, its) in lost.items() if its == colour}
        if bars:
            axes.bar_label(axes.barh(list(bars), list(bars.values()), color=colour, label=by), padding=3)
    axes.set_ylim(len(lost) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set(title="left out", xlabel="photographs")
    axes.legend(loc="lower right")


def plot_facet(file: Path, facet: Facet) -> None:
    """Draw how many photographs there are of the commonest of something, or of each year, by side."""
    years = facet.title == "Years"
    rows = {name or "unknown": of for name, of in (facet.rows if years else facet.rows[:TOP])}
    figure = _figure()
    axes = figure.subplots()
    for side, lengths, before in _stacked(rows):
        if years:
            axes.bar(list(rows), lengths, bottom=before, label=side, color=_COLOURS[side])
        else:
            axes.barh(list(rows), lengths, left=before, label=side, color=_COLOURS[side])
    if years:
        axes.set(title="Years: photographs by side", ylabel="photographs")
        _turn(axes, rows)
    else:
        axes.set_ylim(max(len(rows), _FEW) - 0.5, -0.5)  # the commonest on top; few bars stay slim
        more = f", the {TOP} commonest of {len(facet.rows)}" if len(facet.rows) > TOP else ""
        axes.set(title=f"{facet.title}: photographs by side{more}", xlabel="photographs")
    axes.legend()
    _save(figure, file)


def _stacked(counts: Mapping[str, Mapping[Split, int]]) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each side with its numbers and the sums of those before it."""
    before = np.zeros(len(counts), dtype=np.int64)
    for side in SPLITS:
        numbers = np.asarray([of[side] for of in counts.values()], dtype=np.int64)
        yield side, numbers, before
        before = before + numbers


def plot_values(file: Path, target: TargetSpec, manifest: pa.Table) -> None:
    """Draw the measured values before they were binned, with the classes' numbers; nothing if there are none."""
    if not target.unit:
        return
    numbers = manifest.column(stops_column(target.name)).drop_null().to_numpy()
    if not len(numbers):
        return
    figure = _figure()
    axes = figure.subplots()
    axes.hist(numbers, bins=edges(numbers, target.unit, _BARS).tolist(), color="#7f7f7f")
    for stops in target.stops:
        axes.axvline(stops, color="#d62728", linewidth=0.6)
    axes.set(
        title=f"{target.name}: values" + (" (lines: the classes' numbers)" if target.stops else ""),
        xlabel=target.unit,
        ylabel="photographs",
    )
    _save(figure, file)


def _turn(axes: "Axes", names: Collection[str]) -> None:
    """Turn the names below the bars where they would run into one another."""
    if sum(len(name) + 3 for name in names) > _LETTERS:
        axes.tick_params(axis="x", rotation=90)


def _figure(height: float = 4.5) -> "Figure":
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(8, height), dpi=110, layout="constrained")


def _save(figure: "Figure", file: Path) -> None:
    with atomic_path(file) as temporary:
        figure.savefig(temporary, format="png")
