"""A decoded image as filters see it: each form is computed once, when the first filter needs it."""

from functools import cached_property
from itertools import product

import cv2
import numpy as np
from PIL import Image

from lightmeter.images.geometry import Box
from lightmeter.images.pixels import Pixels, decode_pixels

_REDUCED_SIDE = 256


class DecodedImage:
    """The pixels of a photograph in file orientation, that is, before the EXIF orientation is applied.

    All arrays are read-only.

    Args:
        image: Image opened with Pillow, in any mode.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).

    Attributes:
        pixels: All pixels, shape (height, width) in grey or (height, width, 3) in RGB.
        orientation: 1 to 8.
        quantisation: JPEG quantisation tables by number; empty for other formats.

    Raises:
        Exception: The file is damaged; decoders raise nearly anything.
    """

    def __init__(self, image: Image.Image, orientation: int = 1) -> None:
        self.pixels = decode_pixels(image)
        self.orientation = orientation
        self.quantisation: dict[int, list[int]] = getattr(image, "quantization", None) or {}
        self._halvings = [self.pixels]

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def is_grey(self) -> bool:
        """Whether the file has a single component."""
        return self.pixels.ndim == 2

    @cached_property
    def grey(self) -> Pixels:
        """All pixels in grey (ITU-R BT.601 luma), shape (height, width)."""
        return self.pixels if self.is_grey else _read_only(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY))

    @cached_property
    def reduced(self) -> Pixels:
        """The image in colour, averaged down to at most 256 px on the longer side, shape (height, width, 3)."""
        return self.reduced_to(_REDUCED_SIDE)

    def reduced_to(self, max_side: int) -> Pixels:
        """Return the image in colour, halved until it is small enough, shape (height, width, 3).

        Each pixel is the mean of 2 × 2 pixels of the image before; where a side is odd, of 3 with weights 1, 2 and 1. A
        rotated or mirrored image is therefore reduced to the same pixels, rotated or mirrored.

        Args:
            max_side: Maximum length of the longer side, in pixels.
        """
        number = 0
        while max(self._halvings[number].shape[:2]) > max_side:
            number += 1
            if number == len(self._halvings):
                self._halvings.append(_halved(self._halvings[-1]))
        return _in_colour(self._halvings[number])

    def crop(self, box: Box) -> Pixels:
        """Return a part of the image in colour, shape (box.height, box.width, 3)."""
        return _in_colour(self.pixels[box.y : box.y + box.height, box.x : box.x + box.width])


def _halved(pixels: Pixels) -> Pixels:
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    parts = [
        cv2.resize(pixels[rows, columns], (width, height), interpolation=cv2.INTER_AREA)
        for rows, columns in product(*map(_even_parts, pixels.shape[:2]))
    ]
    if len(parts) == 1:
        return np.asarray(parts[0])
    weight = 1 / len(parts)
    if len(parts) == 4:
        parts = [cv2.add(first, second, dtype=cv2.CV_16U) for first, second in (parts[:2], parts[2:])]
    return np.asarray(cv2.addWeighted(parts[0], weight, parts[1], weight, 0, dtype=cv2.CV_8U))


def _even_parts(length: int) -> list[slice]:
    """Return the whole of a side, or all but its last and all but its first pixel if it is odd."""
    return [slice(0, length - 1), slice(1, length)] if length % 2 and length > 1 else [slice(0, length)]


def _in_colour(pixels: Pixels) -> Pixels:
    return _read_only(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels)


def _read_only(pixels: cv2.typing.MatLike) -> Pixels:
    array: Pixels = np.asarray(pixels)
    array.flags.writeable = False
    return array
