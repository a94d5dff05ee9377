"""A decoded image as filters see it: each form is computed once, when the first filter needs it."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightmeter.images.geometry import Box
from lightmeter.images.reader import to_eight_bit

Pixels = NDArray[np.uint8]

_REDUCED_SIDE = 256


class DecodedImage:
    """The pixels of a photograph in file orientation, that is, before the EXIF orientation is applied.

    Args:
        image: Image decoded by Pillow, in any mode.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).

    Attributes:
        orientation: 1 to 8.
        quantisation: JPEG quantisation tables by number; empty for other formats.
    """

    def __init__(self, image: Image.Image, orientation: int = 1) -> None:
        self._image = to_eight_bit(image)
        self.orientation = orientation
        self.quantisation: dict[int, list[int]] = getattr(image, "quantization", None) or {}

    @property
    def width(self) -> int:
        """Number of columns."""
        return self._image.width

    @property
    def height(self) -> int:
        """Number of rows."""
        return self._image.height

    @property
    def is_grey(self) -> bool:
        """Whether the file has a single component."""
        return self._image.mode == "L"

    @cached_property
    def grey(self) -> Pixels:
        """All pixels in grey (ITU-R BT.601 luma), shape (height, width)."""
        return np.asarray(self._image.convert("L"))

    @cached_property
    def reduced(self) -> Pixels:
        """The image in colour, averaged down to at most 256 px on the longer side, shape (height, width, 3)."""
        return self.reduced_to(_REDUCED_SIDE)

    def reduced_to(self, max_side: int) -> Pixels:
        """Return the image in colour, averaged down by a whole factor, shape (height, width, 3).

        Args:
            max_side: Maximum length of the longer side, in pixels.
        """
        factor = -(-max(self.width, self.height) // max_side)
        colour = self._image if self._image.mode == "RGB" else self._image.convert("RGB")
        return np.asarray(colour.reduce(factor) if factor > 1 else colour)

    def crop(self, box: Box) -> Pixels:
        """Return a part of the image in colour, shape (box.height, box.width, 3)."""
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        return np.asarray(self._image.crop(corners).convert("RGB"))
