"""What scenes are drawn on: 8-bit paint and how much of each pixel it covers, and textures to go over it."""

from collections.abc import Sequence

import cv2
import numpy as np

from lightmeter.harvest.simulator.optics import Array
from lightmeter.harvest.simulator.sensor import decode_srgb

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SHIFT = 4
_FINE = 1 << _SHIFT  # cv2 takes points in 1/16 pixels
_LINEAR = decode_srgb(np.arange(256) / 255).astype(np.float32)


class Canvas:
    """A transparent canvas of a picture's size.

    Args:
        size: width and height in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.paint = np.zeros((self.height, self.width, 3), np.uint8)
        self.cover = np.zeros((self.height, self.width), np.uint8)

    def fill(self, colour: Colour) -> None:
        """Cover everything."""
        self.paint[:] = colour
        self.cover[:] = 255

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Draw a filled polygon."""
        corners = np.round(np.asarray(points, np.float64) * _FINE).astype(np.int32)
        cv2.fillPoly(self.paint, [corners], colour, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.cover, [corners], 255, cv2.LINE_AA, _SHIFT)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, angle: float = 0.0) -> None:
        """Draw a filled ellipse, turned by an angle in degrees."""
        middle, half = _fine(centre), tuple(max(one, _FINE // 2) for one in _fine(radii))
        for sheet, paint in ((self.paint, colour), (self.cover, 255)):
            cv2.ellipse(sheet, middle, half, angle, 0, 360, paint, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def line(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """Draw a line with round ends."""
        thickness = max(round(width), 1)
        cv2.line(self.paint, _pixel(start), _pixel(end), colour, thickness, cv2.LINE_AA)
        cv2.line(self.cover, _pixel(start), _pixel(end), 255, thickness, cv2.LINE_AA)

    def textured(self, rng: np.random.Generator, strength: float) -> tuple[Array, tuple[int, int]]:
        """Return what was drawn as reflectance, and the left and top of where it is.

        Args:
            rng: draws the texture.
            strength: standard deviation of the texture, as a share of the reflectance.

        Returns:
            (height, width, 4): linear red, green and blue, multiplied by cover, and cover, 0 to 1.
        """
        left, top, width, height = self._box()
        part = (slice(top, top + height), slice(left, left + width))
        cover = self.cover[part].astype(np.float32) * np.float32(1 / 255)
        tone = (1 + strength * texture((width, height), rng)) * cover
        channels = [np.clip(channel * tone, 0, 1) for channel in cv2.split(cv2.LUT(self.paint[part], _LINEAR))]
        return np.asarray(cv2.merge((*channels, cover)), np.float32), (left, top)

    def _box(self) -> tuple[int, int, int, int]:
        """Return the smallest box around what was drawn, one pixel wider where the picture goes on."""
        left, top, width, height = cv2.boundingRect(self.cover)
        right, bottom = min(left + width + 1, self.width), min(top + height + 1, self.height)
        left, top = max(left - 1, 0), max(top - 1, 0)
        return left, top, right - left, bottom - top


def texture(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return noise of mean 0 and about standard deviation 1 at all scales from a pixel to an eighth of the size."""
    width, height = size
    total = rng.standard_normal((height, width), dtype=np.float32)
    for cell in (2, 4, 10, 28):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return total * np.float32(0.5)


def shaded(colour: Colour, share: float) -> Colour:
    """Return a colour made lighter (share > 1) or darker."""
    red, green, blue = (min(255, max(0, round(channel * share))) for channel in colour)
    return red, green, blue


def some_colour(rng: np.random.Generator, saturation: float = 0.6, value: float = 0.8) -> Colour:
    """Return a colour of any hue; saturation and value, 0 to 1, vary a little."""
    hue = int(rng.integers(180))
    strong, bright = np.clip((saturation + rng.uniform(-0.2, 0.2), value + rng.uniform(-0.2, 0.15)), 0, 1)
    pixel = np.array([[[hue, 255 * strong, 255 * bright]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def _pixel(point: Point) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _fine(point: Point) -> tuple[int, int]:
    return round(point[0] * _FINE), round(point[1] * _FINE)
