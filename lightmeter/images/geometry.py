"""Boxes and the EXIF orientation (Exif 2.32, tag 0x0112).

Pixels have two coordinate systems: *file* (as stored) and *display* (as shown once the orientation is applied). This
module is the only one that converts between them. It needs numpy alone and is copied into model archives.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112

# To show a file upright: swap rows and columns first, then flip vertically and horizontally.
_TRANSPOSED = frozenset({5, 6, 7, 8})
_FLIPPED_VERTICALLY = frozenset({3, 4, 7, 8})
_FLIPPED_HORIZONTALLY = frozenset({2, 3, 6, 7})

Scalar = TypeVar("Scalar", bound=np.generic)


class Box(NamedTuple):
    """A rectangle in pixels: left edge, top edge, width and height."""

    x: int
    y: int
    width: int
    height: int


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def display_size(file_size: Size, orientation: int) -> Size:
    """Return the size of a photograph once its orientation is applied.

    Args:
        file_size: Size as stored.
        orientation: 1 to 8; any other value means 1.
    """
    return Size(file_size.height, file_size.width) if orientation in _TRANSPOSED else file_size


def to_display(box: Box, file_size: Size, orientation: int) -> Box:
    """Convert a box from file to display coordinates.

    Args:
        box: Box in the stored pixels.
        file_size: Size as stored.
        orientation: 1 to 8; any other value means 1.

    Example:
        >>> to_display(Box(0, 0, 10, 20), Size(100, 50), orientation=6)
        Box(x=30, y=0, width=20, height=10)
    """
    if orientation in _TRANSPOSED:
        box = Box(box.y, box.x, box.height, box.width)
    return _flip(box, display_size(file_size, orientation), orientation)


def to_file(box: Box, file_size: Size, orientation: int) -> Box:
    """Convert a box from display to file coordinates; the inverse of `to_display`."""
    box = _flip(box, display_size(file_size, orientation), orientation)
    return Box(box.y, box.x, box.height, box.width) if orientation in _TRANSPOSED else box


def points_to_file(points: NDArray[np.float32], file_size: Size, orientation: int) -> NDArray[np.float32]:
    """Convert points from display to file coordinates.

    Args:
        points: Display coordinates x and y, shape (n, 2).
        file_size: Size as stored.
        orientation: 1 to 8; any other value means 1.

    Returns:
        File coordinates x and y, shape (n, 2).
    """
    size = display_size(file_size, orientation)
    x, y = points[:, 0], points[:, 1]
    if orientation in _FLIPPED_HORIZONTALLY:
        x = size.width - x
    if orientation in _FLIPPED_VERTICALLY:
        y = size.height - y
    return np.stack((y, x) if orientation in _TRANSPOSED else (x, y), axis=1)


def upright(pixels: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """Return pixels in display orientation, as a view.

    Args:
        pixels: Stored pixels, shape (height, width, ...).
        orientation: 1 to 8; any other value means 1.
    """
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _FLIPPED_VERTICALLY:
        pixels = pixels[::-1]
    if orientation in _FLIPPED_HORIZONTALLY:
        pixels = pixels[:, ::-1]
    return pixels


def _flip(box: Box, size: Size, orientation: int) -> Box:
    """Flip a box within an image of display size."""
    x = size.width - box.x - box.width if orientation in _FLIPPED_HORIZONTALLY else box.x
    y = size.height - box.y - box.height if orientation in _FLIPPED_VERTICALLY else box.y
    return Box(x, y, box.width, box.height)
