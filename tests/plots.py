"""Empty plots: drawing takes much of the time of a small data set or training."""

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from lightmeter.labels.datasets.card import card
from lightmeter.models.evaluation import report
from lightmeter.style.plots import Plot


def _save_empty(_: Figure, file: Any, **options: object) -> None:
    if options.get("format") == "svg":
        file.write(b"<svg></svg>")
    else:
        Image.new("L", (1, 1)).save(file, "PNG")


def _empty_plot(*_: object) -> Plot:
    return Plot(Figure())


_REPLACED: list[tuple[Any, str, Callable[..., Any]]] = [
    (Figure, "savefig", _save_empty),
    *((card, f"{plot}_plot", _empty_plot) for plot in ("class", "facet", "value")),
    *((report, f"{plot}_plot", _empty_plot) for plot in ("confusion", "per_class", "reliability", "stops", "history")),
]
_ORIGINALS = [(owner, name, getattr(owner, name)) for owner, name, _ in _REPLACED]


def replace_plots() -> None:
    """Write empty images from now on, and do not draw the plots of data sets and runs at all."""
    for owner, name, empty in _REPLACED:
        setattr(owner, name, empty)


def draw_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw plots in a test."""
    for owner, name, original in _ORIGINALS:
        monkeypatch.setattr(owner, name, original)
