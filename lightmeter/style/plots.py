"""The style of every plot: colours for colour-blind readers, and settings on axes as photographers write them."""

import io
import math
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.rcsetup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from lightmeter.exposure import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# The colours of Okabe and Ito (2008) differ for colour-blind readers, in print and on dark backgrounds.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)
"""Colours of series, in order."""

GREY = "#8a8f98"
"""Colour of what is only for comparison."""

DPI = 110
INK = "#1b1f24"
"""Colour of text and axes; in SVG it becomes the colour of the page's text."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.prop_cycle": mpl.rcsetup.cycler(color=list(COLOURS)),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9.5,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
"""Settings of matplotlib for every plot."""

_NAMES = {
    "Av": "aperture",
    "log2 s": "shutter speed in seconds",
    "log2 (ISO / 100)": "ISO",
    "log2 mm": "focal length in mm",
    "mm": "focal length in mm",
}
_MM_TICKS = (8, 16, 24, 35, 50, 85, 135, 200, 400, 800)
_MAX_TICKS = 9
_UNIT = re.compile(r"^ISO | (?:s|mm)$")  # stands in the label of the axis
_HEADER = re.compile(r"^.*?(?=<svg)", re.DOTALL)

styled = mpl.rc_context(STYLE)
"""Decorator of functions that draw."""


class Plot:
    """A finished figure.

    Args:
        figure: The figure.
        name: Distinguishes the plot from others on a page.
    """

    def __init__(self, figure: Figure, name: str = "plot") -> None:
        self._figure, self._name = figure, name

    def png(self) -> bytes:
        """Return the plot as PNG on white."""
        content = io.BytesIO()
        self._figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
        return content.getvalue()

    def svg(self) -> str:
        """Return the plot as an element for HTML: transparent, with text and axes in the colour of the page's text."""
        return self._svg

    def svg_file(self) -> str:
        """Return the plot as an SVG file on white."""
        return self._svg.replace("<svg ", f'<svg style="background: #ffffff; color: {INK}" ', 1)

    @cached_property
    def _svg(self) -> str:
        content = io.BytesIO()
        with mpl.rc_context({**STYLE, "svg.hashsalt": self._name}):
            self._figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return _HEADER.sub("", content.getvalue().decode()).replace(INK, "currentColor")


def quantity_of(unit: str) -> str:
    """Return the quantity of a target's unit as an axis label."""
    return _NAMES.get(unit, unit)


def setting_axis(axis: "Axis", unit: str, low: float, high: float) -> None:
    """Put settings on an axis: whole stops as ``1/250 s`` or ``f/2.8``, usual focal lengths in millimetres.

    Args:
        axis: Axis of numbers in the target's unit.
        unit: Unit of the target.
        low: Lowest number.
        high: Highest number.
    """
    if unit == "mm":
        axis.axes.set_xscale("log", base=2) if axis is axis.axes.xaxis else axis.axes.set_yscale("log", base=2)
        axis.set_major_locator(FixedLocator([tick for tick in _MM_TICKS if low <= tick <= high] or [low]))
        axis.set_minor_locator(FixedLocator([]))
    else:
        step = max(1, math.ceil((high - low) / _MAX_TICKS))
        ticks: Sequence[float] = range(math.ceil(low / step) * step, math.floor(high) + 1, step)
        axis.set_major_locator(FixedLocator([float(tick) for tick in ticks] or [low]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _UNIT.sub("", format_number(value, unit))))


def count_axis(axis: "Axis") -> None:
    """Put whole numbers on an axis of counts."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def legend_above(axes: "Axes", **options: Any) -> None:
    """Add a legend above the data, never over it."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2, **options)
    axes.set_title(axes.get_title(loc="left"), pad=24)
