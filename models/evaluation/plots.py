"""Plots of metrics, predictions and analyses."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from lightmeter.bootstrap import Estimate
from lightmeter.images.grid import Tile, draw_grid
from lightmeter.style.plots import (
    BLUE,
    COLOURS,
    DPI,
    GREY,
    ORANGE,
    SKY,
    Plot,
    legend_above,
    quantity_of,
    setting_axis,
    styled,
)

if TYPE_CHECKING:
    from lightmeter.models.analysis.explain import Explanation
    from lightmeter.models.runtime.preprocess import ModelInput

_STYLES = ("-", "--", ":", "-.")
_MAX_ANNOTATED_CLASSES = 12
_GRID_COLUMNS = 4


def data_url(png: bytes) -> str:
    """Return a PNG as a URL for a self-contained page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@styled
def confusion_plot(scores: Mapping[str, Any], title: str) -> Plot:
    """Plot a confusion matrix: counts, and recall (normalised by row) as colour and percentage."""
    counts = np.asarray(scores["confusion_matrix"])
    classes = scores["classes"]
    recall = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.6 + 0.62 * len(classes)
    figure, axes = _canvas(side + 0.9, side, title)
    image = axes.imshow(recall, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= _MAX_ANNOTATED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            text = f"{count}\n{100 * recall[row, column]:.0f} %" if count else "0"
            colour = "#ffffff" if recall[row, column] > 0.5 else "#000000"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, label="recall (row-normalised)", shrink=0.8)
    return Plot(figure, title)


@styled
def per_class_plot(scores: Mapping[str, Any], title: str) -> Plot:
    """Plot average precision, F1 and frequency of each class of a multilabel target."""
    classes, support = scores["classes"], scores["support"]
    positions = np.arange(len(classes))[::-1]
    figure, axes = _canvas(6.4, 1.3 + 0.34 * len(classes), title)
    for key, label, offset, colour in (
        ("average_precision_per_class", "average precision", 0.18, BLUE),
        ("f1_per_class", "F1", -0.18, SKY),
    ):
        axes.barh(positions + offset, [value or 0 for value in scores[key]], 0.34, color=colour, label=label)
    frequencies = [count / scores["photographs"] for count in support]
    axes.scatter(frequencies, positions, marker="|", s=160, color=ORANGE, label="class frequency", zorder=3)
    axes.set_yticks(positions, [f"{name} ({count})" for name, count in zip(classes, support, strict=True)])
    axes.set_xlim(0, 1.02)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3)
    return Plot(figure, title)


@styled
def reliability_plot(scores: Mapping[str, Any], title: str) -> Plot:
    """Plot accuracy against confidence; the area of a dot is proportional to its number of photographs."""
    bins = scores["reliability"]
    confidence, accuracy = ([entry[key] for entry in bins] for key in ("confidence", "accuracy"))
    largest = max(entry["photographs"] for entry in bins)
    figure, axes = _canvas(4.6, 4.4, title)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axes.plot(confidence, accuracy, color=BLUE, linewidth=1)
    sizes = [20 + 180 * entry["photographs"] / largest for entry in bins]
    axes.scatter(confidence, accuracy, s=sizes, color=BLUE, alpha=0.8, clip_on=False)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.04, 1.04)
    multilabel = "f1_per_class" in scores
    axes.set_xlabel("predicted probability" if multilabel else "confidence")
    axes.set_ylabel("observed frequency" if multilabel else "accuracy")
    return Plot(figure, title)


@styled
def stops_plot(rows: Sequence[Mapping[str, Any]], unit: str, title: str) -> Plot:
    """Plot predicted against true settings in stops, and the error below, one dot per photograph."""
    truth = np.asarray([row["true_stops"] for row in rows])
    predicted = np.asarray([row["predicted_stops"] for row in rows])
    low, high = min(truth.min(), predicted.min()) - 0.5, max(truth.max(), predicted.max()) + 0.5
    figure = Figure(figsize=(4.8, 6.6), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    ends = np.asarray([low, high])
    for axes, ideal, values in ((upper, ends, predicted), (lower, np.zeros(2), predicted - truth)):
        axes.fill_between(ends, ideal - 1, ideal + 1, color=GREY, alpha=0.2, linewidth=0, label="within ±1 stop")
        axes.plot(ends, ideal, color=GREY, linewidth=1, linestyle="--")
        axes.scatter(truth, values, s=12, color=BLUE, alpha=0.55, linewidth=0, rasterized=True)
    lower.plot(*_median_errors(truth, predicted - truth), "o-", color=ORANGE, markersize=4, label="median error")
    upper.set_xlim(low, high)
    upper.set_ylim(low, high)
    setting_axis(upper.yaxis, unit, low, high)
    setting_axis(lower.xaxis, unit, low, high)
    lower.tick_params(axis="x", rotation=45)
    upper.set_ylabel(f"predicted {quantity_of(unit)}")
    lower.set_ylabel("error in stops" if unit != "mm" else "error in mm")
    lower.set_xlabel(f"true {quantity_of(unit)}")
    for axes in (upper, lower):
        legend_above(axes)
    return Plot(figure, title)


@styled
def comparison_plot(runs: Mapping[str, Mapping[str, Any]], metric: str, label: str, target: str) -> Plot:
    """Plot one metric of several runs with intervals, and the differences from the first run."""
    figure = Figure(figsize=(8.4, 1.5 + 0.42 * len(runs)), dpi=DPI, layout="constrained")
    figure.suptitle(f"{target}: {label}, with 95 % intervals", fontsize=10)
    left, right = figure.subplots(1, 2, sharey=True)
    reference, *others = runs
    positions = dict(zip(runs, range(len(runs))[::-1], strict=True))
    _plot_estimates(left, {positions[name]: run[metric] for name, run in runs.items()}, BLUE)
    _plot_estimates(right, {positions[name]: runs[name]["difference"][metric] for name in others}, COLOURS[1])
    left.set_yticks(list(positions.values()), list(positions))
    left.set_xlabel(label)
    right.axvline(0, color=GREY, linewidth=1, linestyle="--")
    right.set_xlabel(f"difference from {reference}")
    for axes in (left, right):
        axes.set_ylim(-0.6, len(runs) - 0.4)
        axes.grid(visible=False, axis="y")
    return Plot(figure, f"{target} {metric}")


@styled
def history_plot(history: Sequence[Mapping[str, Any]]) -> Plot:
    """Plot the losses of training over epochs, trees or penalties."""
    (x_name,) = [name for name in ("epoch", "trees", "penalty") if name in history[0]]
    curves: dict[tuple[str | None, float | None], list[Mapping[str, Any]]] = {}
    for row in history:
        curves.setdefault((row.get("target"), row.get("random_intercept_variance")), []).append(row)
    colours = dict(zip(dict.fromkeys(target for target, _ in curves), cycle(COLOURS), strict=False))
    styles = dict(zip(sorted({variance or 0.0 for _, variance in curves}), cycle(_STYLES), strict=False))
    figure, axes = _canvas(7.6, 4.0, "training")
    for (target, variance), rows in curves.items():
        curve = target if variance is None else f"{target}, intercept variance {variance:g}"
        x = [row[x_name] for row in rows] if x_name == "penalty" else range(1, len(rows) + 1)
        for loss, style in (("train", "--"), ("validation", "-"), ("out_of_fold", styles[variance or 0.0])):
            if f"{loss}_loss" in rows[0]:
                label = ", ".join(part for part in (curve, loss.replace("_", " ")) if part)
                axes.plot(x, [row[f"{loss}_loss"] for row in rows], style, color=colours[target], label=label)
    if x_name == "penalty":
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(x_name)
    axes.set_ylabel("loss")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return Plot(figure, "training")


@styled
def explanation_plot(photograph: "ModelInput", explanation: "Explanation", title: str) -> bytes:
    """Plot each image the model received beside its saliency map, most influential patches first."""
    images: list[tuple[Any, Any, str]] = []
    if "view" in explanation.maps:
        images.append((photograph.inputs["view"], explanation.maps["view"], "whole photograph"))
    for index in np.argsort(-explanation.patch_effects):
        effect = f"patch {index + 1}: {explanation.patch_effects[index]:+.2f}"
        images.append((photograph.inputs["patches"][index], explanation.maps["patches"][index], effect))
    rows = -(-len(images) // _GRID_COLUMNS)
    figure = Figure(figsize=(2.6 * _GRID_COLUMNS, 1.55 * rows + 0.4), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=10)
    cells = list(figure.subplots(rows, 2 * _GRID_COLUMNS, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    for index, (image, saliency, label) in enumerate(images):
        left, right = cells[2 * index : 2 * index + 2]
        left.imshow(image.transpose(1, 2, 0))
        left.set_title(label, fontsize=7, loc="left")
        right.imshow(saliency, cmap="magma", vmin=0, vmax=1)
    return Plot(figure, title).png()


def photo_grid_plot(photographs: Sequence[tuple["ModelInput", list[str]]], title: str) -> bytes:
    """Draw photographs (their views, in their own aspect ratio) with lines of text."""
    tiles = []
    for photograph, lines in photographs:
        view = Image.fromarray(photograph.inputs["view"].transpose(1, 2, 0))
        scale = max(view.size) / max(photograph.width, photograph.height)
        size = (max(1, round(scale * photograph.width)), max(1, round(scale * photograph.height)))
        tiles.append(Tile(view.resize(size), lines))
    content = io.BytesIO()
    side = max(max(tile.image.size) for tile in tiles)
    draw_grid(tiles, title, side=side, columns=_GRID_COLUMNS).save(content, "PNG")
    return content.getvalue()


@styled
def attack_plot(result: Mapping[str, Any]) -> Plot:
    """Plot accuracy against the strength of adversarial attacks."""
    title = f"{result['target']}: accuracy under attack, {result['photographs']} {result['split']} photographs"
    figure, axes = _canvas(5.2, 4.0, title)
    for name, colour in zip(("fgsm", "pgd"), COLOURS, strict=False):
        axes.plot(result["epsilons"], result[name], "o-", color=colour, label=name.upper())
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("perturbation size ε (of 255)")
    axes.set_ylabel("accuracy")
    legend_above(axes)
    return Plot(figure, title)


@styled
def importance_plot(result: Mapping[str, Any]) -> Plot:
    """Plot how much macro F1 falls when each input is shuffled."""
    importances = result["importances"]
    title = (
        f"{result['target']}, {result['split']}: permutation importance (macro F1 {result['macro_f1']['value']:.2f})"
    )
    figure, axes = _canvas(6.4, 1.2 + 0.3 * len(importances), title)
    positions = list(range(len(importances))[::-1])
    _plot_estimates(axes, dict(zip(positions, importances.values(), strict=True)), BLUE)
    axes.axvline(0, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(positions, [name.replace("_", " ") for name in importances])
    axes.set_ylim(-0.6, len(importances) - 0.4)
    axes.set_xlabel("decrease of macro F1, with 95 % interval")
    axes.grid(visible=False, axis="y")
    return Plot(figure, title)


def _median_errors(truth: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """Return the whole stops that occur, and the median error of the photographs nearest to each."""
    nearest = np.round(truth)
    stops = np.unique(nearest)
    return stops, [float(np.median(errors[nearest == stop])) for stop in stops]


def _plot_estimates(axes: Axes, estimates: Mapping[int, Estimate], colour: str) -> None:
    """Plot estimates with their intervals as horizontal bars, by vertical position."""
    for position, estimate in estimates.items():
        value, low, high = estimate["value"], estimate["low"], estimate["high"]
        if value is not None:
            ends = [value if end is None else end for end in (low, high)]
            axes.plot(ends, [position, position], color=colour, linewidth=2, alpha=0.6)
            axes.plot(value, position, "o", color=colour)


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
