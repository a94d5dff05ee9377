"""Frames: borders of nearly constant colour, of any width per side, including instant prints and film rebates.

A frame is a run of lines of one colour, from the edge inwards, that ends at the same place along the whole line. A
night sky or a white wall also reaches the edge in one colour, but its end is irregular. A film rebate is a dark frame
with bright perforations and lettering between plain lines.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Detection, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.geometry import Box
from lightmeter.images.pixels import Pixels
from lightmeter.settings import Section

_MIN_REBATE_EDGE = 3  # plain lines of a rebate before its perforations
_MIN_SIDES = 2
_MAX_WIDTH = 0.45  # fraction of the image that one side of a frame covers
_TOLERANCE = 20  # levels from the frame's colour, in any channel
_UNIFORM = 0.96  # fraction of a line's pixels that have the frame's colour
_ENDED = 0.55  # fraction of a line's pixels that differ behind the end of a frame
_END_LINES = 6  # lines within which a frame must end
_BLUR = 3  # lines around an end that compression blurs
_CHUNK = 16  # lines compared at a time; most images need only the first chunk
_DARK = 80  # of 255: maximum level of a rebate's base, in any channel
_CONTRAST = 100  # levels between a rebate's base and its perforations and letters
_MIN_BASE = 0.35  # fraction of a line's pixels that are base, between perforations
_REBATE_LIKE = 0.8  # fraction of a line's pixels that are base or bright; the rest is edges between them
_MAX_REBATE = 0.25  # fraction of the image that a rebate covers

_SIDES = ("top", "right", "bottom", "left")
"""Clockwise; a side's index is the number of anticlockwise quarter turns that bring it to the top."""


class BordersSettings(Section):
    """Settings of the filter ``borders``."""

    max_width: float = Field(0.0, ge=0, le=0.5, description="maximum width of a side, as a fraction of the image")


class Frame(NamedTuple):
    """Width of each side of a frame, in pixels; 0 for none."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Borders(Filter[BordersSettings]):
    """Drops framed photographs and detects the area ``inside`` the frame."""

    name: ClassVar[str] = "borders"
    version: ClassVar[int] = 3
    summary: ClassVar[str] = "frames of near-constant colour, and the area inside"
    Settings = BordersSettings

    def measure(self, image: DecodedImage) -> Measurement:
        """Return the widths of the four sides in pixels, and the widest as a fraction of the image."""
        frame = find_frame(image)
        width, height = image.width, image.height
        widest = max(frame.left / width, frame.right / width, frame.top / height, frame.bottom / height)
        measures = {**frame._asdict(), "widest": widest}
        if not widest:
            return Measurement(measures)
        inside = Box(frame.left, frame.top, width - frame.left - frame.right, height - frame.top - frame.bottom)
        return Measurement(measures, (Detection("inside", inside),))

    def judge(self, measures: Measures) -> Verdict:
        """Drop with the reason ``frame``."""
        return Verdict("drop", "frame") if measures["widest"] > self.settings.max_width else KEEP


def find_frame(image: DecodedImage) -> Frame:
    """Return the frame of an image, of width 0 if there is none.

    Each side is measured between its neighbours, because the corners belong to both. A frame has at least two sides: a
    single one is a wall, a shadow or the edge of a page.
    """
    frame = Frame()
    if not any(_is_nearly_uniform(edge) for edge in _edges(image)):
        return frame
    for _ in range(2):
        previous = frame
        for side in ("top", "bottom", "left", "right"):
            width = frame_width(image, frame, side)
            frame = frame._replace(**{side: width}) if width != getattr(frame, side) else frame
        if frame == previous:
            break
    return frame if sum(width > 0 for width in frame) >= _MIN_SIDES else Frame()


def frame_width(image: DecodedImage, frame: Frame, side: str) -> int:
    """Return the width of one side of a frame, in pixels.

    The image counts as rotated to bring the side to the top, so that the lines of any side are rows.

    Args:
        image: The image.
        frame: Widths of the sides measured before.
        side: ``left``, ``top``, ``right`` or ``bottom``.
    """
    turns = _SIDES.index(side)
    before, after = getattr(frame, _SIDES[turns - 1]), getattr(frame, _SIDES[(turns + 1) % 4])
    edge = _edges(image)[turns]
    lines = _Lines(image, turns, before, after)
    max_width = int(len(lines) * _MAX_WIDTH)
    if not max_width or not _is_nearly_uniform(edge[before : len(edge) - after]):
        return 0
    colour = _median(lines.read_unrotated(0, 1).reshape(-1, 3))
    for start in range(0, max_width, _CHUNK):
        shares = lines.share_of_colour(start, min(start + _CHUNK, max_width), colour)
        differing = np.flatnonzero(shares < _UNIFORM)
        if len(differing):
            first = start + int(differing[0])
            return _end_of_frame(lines, colour, _end_of_rebate(lines, colour, first)) if first else 0
    return 0


@dataclass(frozen=True)
class _Lines:
    """Rows of an image that is rotated by quarter turns, without ``before`` and ``after`` pixels at their ends."""

    image: DecodedImage
    turns: int
    before: int
    after: int

    def __len__(self) -> int:
        return self.image.width if self.turns % 2 else self.image.height

    def read(self, start: int, stop: int) -> Pixels:
        """Return the rows in colour, shape (stop - start, length, 3); only their part of the image is converted."""
        return np.rot90(self.read_unrotated(start, stop), self.turns)

    def share_of_colour(self, start: int, stop: int, colour: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the fraction of each row's pixels that have a colour, shape (stop - start,)."""
        return self.share_between(start, stop, (colour - _TOLERANCE).clip(0, 255), (colour + _TOLERANCE).clip(0, 255))

    def share_between(
        self, start: int, stop: int, lowest: NDArray[np.float64], highest: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the fraction of each row's pixels with all channels between two levels, shape (stop - start,)."""
        between = cv2.inRange(self.read_unrotated(start, stop), lowest, highest)
        along_rows = 0 if self.turns % 2 else 1
        shares = np.asarray(cv2.reduce(between, along_rows, cv2.REDUCE_AVG, dtype=cv2.CV_64F).ravel() / 255.0)
        return shares[::-1] if self.turns in (1, 2) else shares

    def read_unrotated(self, start: int, stop: int) -> Pixels:
        """Return the same pixels as `read`, as the image has them."""
        stop = min(stop, len(self))
        length = (self.image.height if self.turns % 2 else self.image.width) - self.before - self.after
        first = len(self) - stop if self.turns in (1, 2) else start
        offset = self.after if self.turns in (2, 3) else self.before
        box = Box(first, offset, stop - start, length) if self.turns % 2 else Box(offset, first, length, stop - start)
        return self.image.crop(box)


def _edges(image: DecodedImage) -> tuple[Pixels, ...]:
    """Return the grey lines at the four sides, each from left to right if its side is at the top."""
    grey = image.grey
    return grey[0], grey[:, -1], grey[-1, ::-1], grey[::-1, 0]


def _is_nearly_uniform(line: Pixels) -> bool:
    """Return whether a grey line could have one colour: a fast test that excludes most photographs."""
    levels = np.sort(line)
    median = int(levels[len(levels) // 2])
    low = levels.searchsorted(np.uint8(max(0, median - 2 * _TOLERANCE)))
    high = levels.searchsorted(np.uint8(min(255, median + 2 * _TOLERANCE)), side="right")
    return bool(high - low >= _UNIFORM * len(levels))


def _median(colours: Pixels) -> NDArray[np.float64]:
    """Return the median of each channel, shape (3,), like ``np.median``, which takes longer for a single line."""
    levels = np.sort(np.ascontiguousarray(colours.T)).astype(np.float64)  # each channel in a row sorts faster
    return np.asarray((levels[:, (len(colours) - 1) // 2] + levels[:, len(colours) // 2]) / 2)


def _end_of_rebate(lines: _Lines, colour: NDArray[np.float64], start: int) -> int:
    """Return the first line behind the perforations and letters of a film rebate that begin at a line, else the line.

    Between its plain edges a rebate's lines consist of the base and of something much brighter.
    """
    end = int(len(lines) * _MAX_REBATE)
    if not _MIN_REBATE_EDGE <= start < end or colour.max() > _DARK:
        return start
    base = lines.share_of_colour(start, end, colour)
    bright = 1.0 - lines.share_between(start, end, np.zeros(3), np.full(3, colour.max() + _CONTRAST))
    other = np.flatnonzero((base < _MIN_BASE) | (base + bright < _REBATE_LIKE))
    plain = np.flatnonzero(base[: other[0] if len(other) else None] >= _UNIFORM)
    return start + int(plain[-1]) + 1 if len(plain) else start


def _end_of_frame(lines: _Lines, colour: NDArray[np.float64], start: int) -> int:
    """Return where a frame ends along the whole line, if that is within a few lines of the first that differs, else 0.

    These few lines are compression artefacts: blocks and coarse chroma extend across the end. The end itself is where
    neighbouring lines differ most.
    """
    differing = 1.0 - lines.share_of_colour(start, start + _END_LINES, colour)
    ended = np.flatnonzero(differing > _ENDED)
    if not len(ended):
        return 0
    first = max(0, start - _BLUR)
    rows = lines.read(first, start + int(ended[0]) + _BLUR).astype(np.int16)
    steps = np.abs(np.diff(rows, axis=0)).max(axis=2).mean(axis=1)
    return first + 1 + int(np.argmax(steps))
