"""Frames: white, black, cream or grey, unequal per side, noisy; the wide foot of an instant print; bars.

A frame is a run of lines of one colour, from the edge inwards, that ends at once along the whole line. A night sky or a
white wall also reaches the edge in one colour, but what stands before it begins here and there. A film's rebate is a
dark frame with bright perforations and letters in it, and plain lines on both sides of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Box, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage, Pixels
from lightmeter.settings import Section

SIDES = ("left", "top", "right", "bottom")

_LEAST_LINES = 3  # of a frame; its colour is taken from them
_LEAST_SIDES = 2
_MOST_OF_SIDE = 0.45  # of a picture that one side of a frame takes
_TOLERANCE = 20  # levels from the frame's colour, in any channel
_SAME = 0.96  # of a line's pixels are of the frame's colour
_END = 0.55  # of a line's pixels differ, behind the frame's end
_END_LINES = 6  # within which the frame must have ended
_LINES_AT_A_TIME = 16
_DARK = 80  # of 255: a rebate's base, in any channel
_BRIGHTER = 100  # levels by which perforations and letters stand out from it
_BASE = 0.35  # of a line's pixels are base, between perforations
_REBATE_LIKE = 0.8  # of a line's pixels are one or the other; the rest is the edges between them
_REBATE = 0.25  # of a picture that a rebate takes at most

Colour = NDArray[np.float64]
Shares = NDArray[np.float64]


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
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "frames of near-constant colour, and what lies inside"
    Settings = BordersSettings

    def measure(self, picture: DecodedImage) -> Measurement:
        """Return the widths of the four sides in pixels, and the widest as a fraction of the picture."""
        frame = find_frame(picture)
        widths = {side: getattr(frame, side) for side in SIDES}
        widest = max(
            frame.left / picture.width, frame.right / picture.width,
            frame.top / picture.height, frame.bottom / picture.height,
        )  # fmt: skip
        if not widest:
            return Measurement(widths | {"widest": 0.0})
        inside = Box(
            "inside",
            frame.left,
            frame.top,
            picture.width - frame.left - frame.right,
            picture.height - frame.top - frame.bottom,
        )
        return Measurement(widths | {"widest": widest}, (inside,))

    def judge(self, measures: Measures, settings: BordersSettings) -> Verdict:
        """Drop ``frame``."""
        return Verdict("drop", "frame") if measures["widest"] > settings.max_width else KEEP


def find_frame(picture: DecodedImage) -> Frame:
    """Return the frame of a picture; widths of 0 where there is none.

    Top and bottom are looked for within what left and right leave, and the other way round, because the corners belong
    to both. One side alone is no frame: it is a wall, a shadow, the edge of a page.
    """
    left = right = top = bottom = 0
    for _ in range(2):
        inner = picture.width - right
        top = _width(_Lines(picture, left, inner, across=False, backwards=False))
        bottom = _width(_Lines(picture, left, inner, across=False, backwards=True))
        sides, inner = (left, right), picture.height - bottom
        left = _width(_Lines(picture, top, inner, across=True, backwards=False))
        right = _width(_Lines(picture, top, inner, across=True, backwards=True))
        if sides == (left, right):
            break
    found = Frame(left, top, right, bottom)
    return found if sum(side > 0 for side in (left, top, right, bottom)) >= _LEAST_SIDES else Frame()


@dataclass(frozen=True)
class _Lines:
    """Rows of a picture, or columns (``across``), each from ``start`` to ``stop``, counted from the edge inwards."""

    picture: DecodedImage
    start: int
    stop: int
    across: bool
    backwards: bool

    def __len__(self) -> int:
        return self.picture.width if self.across else self.picture.height

    def first_in_grey(self) -> Pixels:
        """Return the outermost line, (stop − start,)."""
        grey = self.picture.grey.T if self.across else self.picture.grey
        return grey[-1 if self.backwards else 0, self.start : self.stop]

    def read(self, first: int, last: int) -> Pixels:
        """Return some lines as they stand in the picture, (height, width, 3)."""
        last = min(last, len(self))
        low, high = (len(self) - last, len(self) - first) if self.backwards else (first, last)
        if self.across:
            return self.picture.part(low, self.start, high, self.stop)
        return self.picture.part(self.start, low, self.stop, high)

    def share(self, first: int, last: int, lowest: Colour, highest: Colour) -> Shares:
        """Return for each of some lines the share of its pixels whose channels lie between two levels."""
        between = cv2.inRange(self.read(first, last), lowest, highest)
        share = cv2.reduce(between, 0 if self.across else 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F).ravel() / 255.0
        return np.asarray(share[::-1] if self.backwards else share)

    def like(self, first: int, last: int, colour: Colour) -> Shares:
        """Return for each of some lines the share of its pixels that have a colour."""
        return self.share(first, last, (colour - _TOLERANCE).clip(0, 255), (colour + _TOLERANCE).clip(0, 255))


def _is_even(line: Pixels) -> bool:
    """Return whether a line in grey could be of one colour: a quick look that spares most photographs the exact one."""
    levels = np.sort(line)
    middle = int(levels[len(levels) // 2])
    low = np.searchsorted(levels, max(0, middle - 2 * _TOLERANCE))
    high = np.searchsorted(levels, min(255, middle + 2 * _TOLERANCE), side="right")
    return bool(high - low >= _SAME * len(levels))


def _width(lines: _Lines) -> int:
    """Return how many of the lines are a frame's side."""
    most = int(len(lines) * _MOST_OF_SIDE)
    if most < _LEAST_LINES:
        return 0
    if not _is_even(lines.first_in_grey()):
        return 0
    colour = np.median(lines.read(0, _LEAST_LINES).reshape(-1, 3), axis=0)
    if lines.like(0, _LEAST_LINES, colour)[0] < _SAME:
        return 0
    for start, stop in _portions(0, most):
        broken = np.flatnonzero(lines.like(start, stop, colour) < _SAME)
        if len(broken):
            return _end(lines, colour, _behind_rebate(lines, colour, start + int(broken[0])))
    return 0


def _behind_rebate(lines: _Lines, colour: Colour, broken: int) -> int:
    """Return the first line behind perforations and letters, if that is what interrupts a dark frame, else ``broken``.

    Between its plain edges a rebate's lines are base or something much brighter, and hardly anything between.
    """
    most = int(len(lines) * _REBATE)
    if not _LEAST_LINES <= broken < most or colour.max() > _DARK:
        return broken
    behind, black = broken, np.zeros(3)
    for start, stop in _portions(broken, most):
        base = lines.like(start, stop, colour)
        bright = 1.0 - lines.share(start, stop, black, black + colour.max() + _BRIGHTER)
        other = np.flatnonzero((base < _BASE) | (base + bright < _REBATE_LIKE))
        plain = np.flatnonzero(base[: other[0] if len(other) else None] >= _SAME)
        if len(plain):
            behind = start + int(plain[-1]) + 1
        if len(other):
            break
    return behind


def _portions(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield where portions of some lines start and stop: most photographs are done with after one."""
    for start in range(first, last, _LINES_AT_A_TIME):
        yield start, min(start + _LINES_AT_A_TIME, last)


def _end(lines: _Lines, colour: Colour, broken: int) -> int:
    """Return where the frame ends all along, if it does within a few lines of the first that is not quite its colour.

    Those few are the compression's: blocks and coarse chroma reach across the end.
    """
    behind = 1.0 - lines.like(broken, broken + _END_LINES, colour)
    ended = np.flatnonzero(behind > _END)
    return broken + int(ended[0]) if len(ended) and broken >= _LEAST_LINES else 0
