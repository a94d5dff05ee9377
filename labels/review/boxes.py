"""Boxes in the pixels that are stored and in the picture that is seen, by the Orientation tag (Exif 2.32, 4.6.4 A)."""

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle, from the left and from the top, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


_TURNED = (5, 6, 7, 8)
_MIRRORED_ACROSS = {"seen": (2, 3, 6, 7), "stored": (2, 3, 7, 8)}
_MIRRORED_DOWN = {"seen": (3, 4, 7, 8), "stored": (3, 4, 6, 7)}


def seen_size(stored: Size, orientation: int) -> Size:
    """Return the size of the picture that is seen."""
    return Size(stored.height, stored.width) if orientation in _TURNED else stored


def to_display(box: Box, stored: Size, orientation: int) -> Box:
    """Return where a box of stored pixels is seen."""
    turned = Box(box.y, box.x, box.height, box.width) if orientation in _TURNED else box
    return _mirrored(turned, seen_size(stored, orientation), "seen", orientation)


def to_file(box: Box, stored: Size, orientation: int) -> Box:
    """Return the stored pixels of a box that is seen."""
    turned = Box(box.y, box.x, box.height, box.width) if orientation in _TURNED else box
    return _mirrored(turned, stored, "stored", orientation)


def _mirrored(box: Box, size: Size, side: str, orientation: int) -> Box:
    x = size.width - box.x - box.width if orientation in _MIRRORED_ACROSS[side] else box.x
    y = size.height - box.y - box.height if orientation in _MIRRORED_DOWN[side] else box.y
    return Box(x, y, box.width, box.height)
