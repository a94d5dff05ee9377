"""Transparent canvases with 8-bit colour and coverage, and the textures of their surfaces."""

from collections.abc import Sequence

import cv2
import numpy as np

from lightmeter.harvest.simulator.optics import Array
from lightmeter.harvest.simulator.sensor import decode_srgb

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SHIFT = 4
_SUBPIXELS = 1 << _SHIFT  # fixed-point coordinates of OpenCV, in 1/16 pixels
_LINEAR = decode_srgb(np.arange(256) / 255).astype(np.float32)


class Canvas:
    """A transparent canvas with the size of a frame.

    Args:
        size: Width and height in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.paint = np.zeros((self.height, self.width, 3), np.uint8)
        self.cover = np.zeros((self.height, self.width), np.uint8)

    def fill(self, colour: Colour) -> None:
        """Fill the canvas with a colour."""
        self.paint[:] = colour
        self.cover[:] = 255

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Draw a filled polygon."""
        corners = np.round(np.asarray(points, np.float64) * _SUBPIXELS).astype(np.int32)
        cv2.fillPoly(self.paint, [corners], colour, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.cover, [corners], 255, cv2.LINE_AA, _SHIFT)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, angle: float = 0.0) -> None:
        """Draw a filled ellipse, rotated by an angle in degrees."""
        middle, axes = _fixed_point(centre), tuple(max(radius, _SUBPIXELS // 2) for radius in _fixed_point(radii))
        for plane, value in ((self.paint, colour), (self.cover, 255)):
            cv2.ellipse(plane, middle, axes, angle, 0, 360, value, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def line(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """Draw a line with rounded ends."""
        thickness = max(round(width), 1)
        cv2.line(self.paint, _pixel(start), _pixel(end), colour, thickness, cv2.LINE_AA)
        cv2.line(self.cover, _pixel(start), _pixel(end), 255, thickness, cv2.LINE_AA)

    def textured(self, rng: np.random.Generator, strength: float) -> tuple[Array, tuple[int, int]]:
        """Return the drawing with a texture, and the left and top of its bounding box.

        Args:
            rng: Generator of the texture.
            strength: Standard deviation of the texture, as a fraction of the reflectance.

        Returns:
            Linear reflectance in red, green and blue multiplied by coverage, and coverage, 0 to 1, shape
            (height, width, 4); left and top in pixels.
        """
        left, top, width, height = self._bounding_box()
        region = (slice(top, top + height), slice(left, left + width))
        cover = self.cover[region].astype(np.float32) * np.float32(1 / 255)
        tone = (1 + strength * texture((width, height), rng)) * cover
        channels = [np.clip(channel * tone, 0, 1) for channel in cv2.split(cv2.LUT(self.paint[region], _LINEAR))]
        return np.asarray(cv2.merge((*channels, cover)), np.float32), (left, top)

    def _bounding_box(self) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the drawing, with a margin of one pixel inside the frame."""
        left, top, width, height = cv2.boundingRect(self.cover)
        right, bottom = min(left + width + 1, self.width), min(top + height + 1, self.height)
        left, top = max(left - 1, 0), max(top - 1, 0)
        return left, top, right - left, bottom - top


def texture(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return noise at scales from 1 to 28 pixels, of mean 0 and a standard deviation of about 1."""
    width, height = size
    total = rng.standard_normal((height, width), dtype=np.float32)
    for cell in (2, 4, 10, 28):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return total * np.float32(0.5)


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made lighter (factor > 1) or darker."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def random_colour(rng: np.random.Generator, saturation: float = 0.6, value: float = 0.8) -> Colour:
    """Return a colour of random hue; saturation and value, 0 to 1, vary slightly."""
    hue = int(rng.integers(180))
    saturation, value = np.clip((saturation + rng.uniform(-0.2, 0.2), value + rng.uniform(-0.2, 0.15)), 0, 1)
    pixel = np.array([[[hue, 255 * saturation, 255 * value]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def _pixel(point: Point) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _fixed_point(point: Point) -> tuple[int, int]:
    return round(point[0] * _SUBPIXELS), round(point[1] * _SUBPIXELS)
