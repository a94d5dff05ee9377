"""Pictures of how a model does."""

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lightmeter.image_grid import Tile, draw_grid

if TYPE_CHECKING:
    from lightmeter.models.analysis.explain import Explanation
    from lightmeter.models.runtime.preprocess import ModelInput

_DPI = 110
_BLUE, _LIGHT_BLUE, _GREY = "#2b6ca3", "#9bbcd8", "#8a8f98"
_COLOURS = ("#2b6ca3", "#c4622d", "#3f8f5b", "#8358a5", "#8a6d3b")
_STYLES = ("-", "--", ":", "-.")
_MANY_CLASSES = 12
_PAIRS = 4  # pictures in a row of an explanation


def confusion_plot(scored: Mapping[str, Any], title: str) -> bytes:
    """Return a PNG of the confusion matrix: counts, and as colours and percentages the shares of each true class."""
    counts = np.asarray(scored["confusion"])
    classes = scored["classes"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.6 + 0.62 * len(classes)
    figure, axes = _canvas(side + 0.9, side, title)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(
        range(len(classes)),
        classes,
        rotation=45,
        ha="right",
    )
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    if len(classes) <= _MANY_CLASSES:
        _write_counts(axes, counts, shares)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
    return _png(figure)


def classes_plot(scored: Mapping[str, Any], title: str) -> bytes:
    """Return a PNG of how well each of several classes is told: average precision and F1, and how often it occurs."""
    found = scored["by_class"]
    places = np.arange(len(found))[::-1]
    figure, axes = _canvas(6.4, 1.3 + 0.34 * len(found), title)
    for key, label, offset, colour in (
        ("average_precision", "average precision", 0.18, _BLUE),
        ("f1", "F1", -0.18, _LIGHT_BLUE),
    ):
        axes.barh(places + offset, [one[key] or 0 for one in found.values()], 0.34, color=colour, label=label)
    shares = [one["photographs"] / scored["photographs"] for one in found.values()]
    axes.scatter(shares, places, marker="|", s=160, color="black", label="share of the photographs", zorder=3)
    axes.set_yticks(places, [f"{name} ({one['photographs']})" for name, one in found.items()])
    axes.set_xlim(0, 1.02)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return _png(figure)


def reliability_plot(scored: Mapping[str, Any], title: str) -> bytes:
    """Return a PNG of accuracy against confidence; the area of a dot is its number of photographs."""
    figure, axes = _canvas(4.6, 4.4, title)
    bins = scored["reliability"]
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    axes.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], color=_BLUE, linewidth=1)
    most = max(b["photographs"] for b in bins)
    axes.scatter(
        [b["confidence"] for b in bins],
        [b["accuracy"] for b in bins],
        s=[20 + 180 * b["photographs"] / most for b in bins],
        color=_BLUE,
        alpha=0.8,
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.04, 1.04)
    several = "by_class" in scored
    axes.set_xlabel("probability of a class" if several else "confidence of the answer")
    axes.set_ylabel("share that has it" if several else "share that is right")
    axes.grid(alpha=0.3)
    return _png(figure)


def stops_plot(rows: Sequence[Mapping[str, Any]], unit: str, title: str) -> bytes:
    """Return a PNG of settings in stops, a dot a photograph: answered against true, and below it the error."""
    truth = np.asarray([row["true_stops"] for row in rows])
    found = np.asarray([row["predicted_stops"] for row in rows])
    low, high = min(truth.min(), found.min()) - 0.5, max(truth.max(), found.max()) + 0.5
    drawing = Figure(figsize=(4.8, 6.6), dpi=_DPI, layout="constrained")
    drawing.suptitle(title, fontsize=10, x=0.02, ha="left")
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    ends = np.asarray([low, high])
    for axes, right, answered in ((upper, ends, found), (lower, np.zeros(2), found - truth)):
        axes.fill_between(ends, right - 1, right + 1, color=_GREY, alpha=0.2, linewidth=0, label="within one stop")
        axes.plot(ends, right, color=_GREY, linewidth=1, linestyle="--")
        axes.scatter(truth, answered, s=12, color=_BLUE, alpha=0.55, linewidth=0)
    lower.plot(*_medians(truth, found - truth), "o-", color=_COLOURS[1], markersize=4, label="median error")
    upper.set_xlim(low, high)
    upper.set_ylim(low, high)
    upper.set_ylabel(f"answered ({unit})")
    lower.set_ylabel("error (stops)")
    lower.set_xlabel(f"true ({unit})")
    for axes in (upper, lower):
        axes.legend(frameon=False, fontsize=8)
    return _png(drawing)


def _medians(truth: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """Return the whole stops that occur, and the median error of the photographs nearest to each."""
    nearest = np.round(truth)
    stops = np.unique(nearest)
    return stops, [float(np.median(errors[nearest == stop])) for stop in stops]


def comparison_plot(runs: Mapping[str, Mapping[str, Any]], figure: str, label: str, target: str) -> bytes:
    """Return a PNG of one figure of several runs, with intervals, and of how far they are from the first."""
    drawing = Figure(figsize=(8.4, 1.5 + 0.42 * len(runs)), dpi=_DPI, layout="constrained")
    drawing.suptitle(f"{target}: {label}, with 95 % intervals", fontsize=10)
    left, right = drawing.subplots(1, 2, sharey=True)
    places = range(len(runs))[::-1]
    first = next(iter(runs))
    for place, (name, run) in zip(places, runs.items(), strict=True):
        _interval(left, place, run[figure], _BLUE)
        if name != first:
            _interval(right, place, run["difference"][figure], _COLOURS[1])
    left.set_yticks(places, list(runs))
    left.set_xlabel(label)
    right.axvline(0, color=_GREY, linewidth=1, linestyle="--")
    right.set_xlabel(f"difference from {first}")
    for axes in (left, right):
        axes.set_ylim(-0.6, len(runs) - 0.4)
        axes.grid(axis="x", alpha=0.3)
    return _png(drawing)


def history_plot(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of what training passed through: losses over epochs, trees or penalties."""
    (along,) = [name for name in ("epoch", "trees", "penalty") if name in history[0]]
    figure, axes = _canvas(7.6, 4.0, "training")
    colours = dict(zip(dict.fromkeys(row.get("target") for row in history), cycle(_COLOURS), strict=False))
    styles = dict(
        zip(sorted({row.get("random_intercept_variance", 0.0) for row in history}), cycle(_STYLES), strict=False)
    )
    parts = dict.fromkeys((row.get("target"), row.get("random_intercept_variance")) for row in history)
    for target, offset in parts:
        rows = [row for row in history if (row.get("target"), row.get("random_intercept_variance")) == (target, offset)]
        part = target if offset is None else f"{target}, offset {offset:g}"
        places = [row[along] for row in rows] if along == "penalty" else range(1, len(rows) + 1)
        for name, style in (
            ("train_loss", "--"),
            ("validation_loss", "-"),
            ("out_of_fold_loss", styles[offset or 0.0]),
        ):
            if name in rows[0]:
                label = ", ".join(word for word in (part, name.removesuffix("_loss").replace("_", " ")) if word)
                axes.plot(places, [row[name] for row in rows], style, color=colours[target], label=label)
    if along == "penalty":
        axes.set_xscale("log")
    axes.set_xlabel(along)
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def explanation_plot(photograph: "ModelInput", found: "Explanation", title: str) -> bytes:
    """Return a PNG of what the model saw, most telling patches first, each beside the pixels that moved its answer."""
    pictures: list[tuple[Any, Any, str]] = []
    if "view" in found.maps:
        pictures.append((photograph.inputs["view"], found.maps["view"], "the view"))
    for number in np.argsort(-found.shares):
        patch, strength = photograph.inputs["patches"][number], found.maps["patches"][number]
        pictures.append((patch, strength, f"patch {number + 1}: {found.shares[number]:+.2f}"))
    rows = -(-len(pictures) // _PAIRS)
    figure = Figure(figsize=(2.6 * _PAIRS, 1.55 * rows + 0.4), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, 2 * _PAIRS, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for place, (picture, strength, label) in enumerate(pictures):
        left, right = axes.flat[2 * place : 2 * place + 2]
        left.imshow(picture.transpose(1, 2, 0))
        left.set_title(label, fontsize=7, loc="left")
        right.imshow(strength, cmap="magma", vmin=0, vmax=1)
    return _png(figure)


def contact_sheet(photographs: Sequence[tuple["ModelInput", str]], title: str) -> bytes:
    """Return a PNG of photographs (their views, in their own proportions) with captions."""
    tiles = []
    for photograph, caption in photographs:
        view = Image.fromarray(photograph.inputs["view"].transpose(1, 2, 0))
        scale = max(view.size) / max(photograph.width, photograph.height)
        size = (max(1, round(scale * photograph.width)), max(1, round(scale * photograph.height)))
        tiles.append(Tile(view.resize(size), [caption]))
    content = io.BytesIO()
    draw_grid(tiles, title, side=max(max(tile.image.size) for tile in tiles), columns=_PAIRS).save(content, "PNG")
    return content.getvalue()


def attack_plot(found: Mapping[str, Any]) -> bytes:
    """Return a PNG of accuracy against the strength of attacks."""
    title = f"{found['target']}: accuracy under attack, {found['photographs']} photographs of {found['split']}"
    figure, axes = _canvas(5.2, 4.0, title)
    for name, colour in zip(("fgsm", "pgd"), _COLOURS, strict=False):
        axes.plot(found["levels"], found[name], "o-", color=colour, label=name.upper())
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("greatest change of a pixel (of 255)")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def importance_plot(found: Mapping[str, Any]) -> bytes:
    """Return a PNG of what macro F1 loses by each input that is shuffled."""
    drops = found["drops"]
    title = f"{found['target']}, {found['split']}: what macro F1 ({found['macro_f1']['value']:.2f}) loses by shuffling"
    figure, axes = _canvas(6.4, 1.2 + 0.3 * len(drops), title)
    places = range(len(drops))[::-1]
    for place, drop in zip(places, drops.values(), strict=True):
        _interval(axes, place, drop, _BLUE)
    axes.axvline(0, color=_GREY, linewidth=1, linestyle="--")
    axes.set_yticks(places, [name.replace("_", " ") for name in drops])
    axes.set_ylim(-0.6, len(drops) - 0.4)
    axes.set_xlabel("loss, with 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def _interval(axes: Axes, place: int, told: Mapping[str, Any], colour: str) -> None:
    if told["value"] is not None:
        low, high = (told["value"] if told[end] is None else told[end] for end in ("low", "high"))
        axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.6)
        axes.plot(told["value"], place, "o", color=colour)


def _write_counts(axes: Axes, counts: Any, shares: Any) -> None:
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.5
        told = f"{count}\n{shares[row, column]:.0%}" if count else "0"
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color="white" if dark else "black")


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    return figure, axes


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
