"""Frames: white, black, cream or grey, unequal per side, noisy; the wide foot of an instant print; bars.

A frame is a run of lines of one colour, from the edge inwards, that ends at once along the whole line. A night sky or a
white wall also reaches the edge in one colour, but what stands before it begins here and there.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harvest.inspect.base import KEEP, Filter, Measured, Measures, Region, Verdict
from harvest.inspect.picture import Picture, Pixels
from lightmeter.settings import Section

SIDES = ("left", "top", "right", "bottom")

_EDGE_LINES = 3  # from which a frame's colour is taken
_LEAST_LINES = 3  # of a frame
_MOST_OF_SIDE = 0.45  # of a picture that one side of a frame takes
_TOLERANCE = 20  # levels from the frame's colour, in any channel
_SAME = 0.96  # of a line's pixels are of the frame's colour
_END = 0.55  # of a line's pixels differ, behind the frame's end
_END_LINES = 6  # within which the frame must have ended
_LINES_AT_A_TIME = 64


class BordersSettings(Section):
    """How wide a frame may be."""

    max_width: float = Field(
        0.0, ge=0, le=0.5, description="widest side that is let pass, as a fraction of the picture's own"
    )


@dataclass(frozen=True)
class Frame:
    """Widths of a frame's sides, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Borders(Filter[BordersSettings]):
    """Drops framed pictures; the region ``inside`` is what lies within the frame."""

    name: ClassVar[str] = "borders"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "frames of near-constant colour, and what lies inside"
    Settings = BordersSettings

    def measure(self, picture: Picture) -> Measured:
        """Return the widths of the four sides in pixels, and the widest as a fraction of the picture."""
        frame = find_frame(picture.rgb)
        widths = {side: getattr(frame, side) for side in SIDES}
        widest = max(
            frame.left / picture.width, frame.right / picture.width,
            frame.top / picture.height, frame.bottom / picture.height,
        )  # fmt: skip
        if not widest:
            return Measured(widths | {"widest": 0.0})
        inside = Region(
            "inside",
            frame.left,
            frame.top,
            picture.width - frame.left - frame.right,
            picture.height - frame.top - frame.bottom,
        )
        return Measured(widths | {"widest": widest}, (inside,))

    def judge(self, measures: Measures, settings: BordersSettings) -> Verdict:
        """Drop ``frame``."""
        return Verdict("drop", "frame") if measures["widest"] > settings.max_width else KEEP


def find_frame(rgb: Pixels) -> Frame:
    """Return the frame of a picture, (height, width, 3); widths of 0 where there is none.

    Top and bottom are looked for within what left and right leave, and the other way round, because the corners belong
    to both.
    """
    across = rgb.swapaxes(0, 1)
    left = right = top = bottom = 0
    for _ in range(2):
        inner = rgb[:, left : rgb.shape[1] - right]
        top, bottom = _width(inner), _width(inner[::-1])
        inner = across[:, top : rgb.shape[0] - bottom]
        left, right = _width(inner), _width(inner[::-1])
    return Frame(left, top, right, bottom)


def _width(lines: Pixels) -> int:
    """Return how many of the first lines, (n, length, 3), are a frame's side."""
    most = int(len(lines) * _MOST_OF_SIDE)
    if most < _LEAST_LINES:
        return 0
    colour = np.median(lines[:_EDGE_LINES].reshape(-1, 3), axis=0)
    same = _share(lines[:1], colour)
    if same[0] < _SAME:
        return 0
    for start in range(0, most, _LINES_AT_A_TIME):
        broken = np.flatnonzero(_share(lines[start : min(start + _LINES_AT_A_TIME, most)], colour) < _SAME)
        if len(broken):
            return _ended(lines, colour, start + int(broken[0]))
    return 0


def _ended(lines: Pixels, colour: NDArray[np.float64], width: int) -> int:
    """Return the width if the frame ends there all along, else 0."""
    behind = 1.0 - _share(lines[width : width + _END_LINES], colour)
    return width if width >= _LEAST_LINES and bool((behind > _END).any()) else 0


def _share(lines: Pixels, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each line the share of its pixels that have the colour."""
    low, high = (colour - _TOLERANCE).clip(0, 255), (colour + _TOLERANCE).clip(0, 255)
    near = (lines >= low.astype(np.uint8)) & (lines <= np.ceil(high).astype(np.uint8))
    return np.asarray(near.all(axis=2).mean(axis=1), dtype=np.float64)
