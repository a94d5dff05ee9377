"""A decoded picture, as filters look at it: every form is made once, when the first filter asks for it."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

_REDUCED_SIDE = 256
_TRANSPOSED, _FLIPPED_DOWN, _FLIPPED_ACROSS = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)  # orientations
_BITS_16 = 257.0  # 65,535 / 255


class DecodedImage:
    """One photograph's pixels, as stored: orientation is not applied.

    Args:
        image: decoded by Pillow.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).
    """

    def __init__(self, image: Image.Image, orientation: int = 1) -> None:
        self._image = image if image.mode in ("L", "RGB") else _eight_bit(image)
        self.orientation = orientation
        self.quantisation: dict[int, list[int]] = getattr(image, "quantization", None) or {}

    @property
    def width(self) -> int:
        """Columns."""
        return self._image.width

    @property
    def height(self) -> int:
        """Rows."""
        return self._image.height

    @cached_property
    def rgb(self) -> Pixels:
        """All pixels in colour, (height, width, 3); for what `reduced` and `part` do not serve: it is dear."""
        return np.asarray(self._image.convert("RGB"))

    @cached_property
    def grey(self) -> Pixels:
        """All pixels in grey as Pillow makes it (ITU-R BT.601 luma), (height, width)."""
        return np.asarray(self._image.convert("L"))

    @property
    def is_grey(self) -> bool:
        """Whether the file has one component only."""
        return self._image.mode == "L"

    @cached_property
    def reduced(self) -> Pixels:
        """The picture in colour, its longer side at most 256 px, by averaging over whole pixels, (h, w, 3)."""
        return self.at_most(_REDUCED_SIDE)

    def at_most(self, side: int) -> Pixels:
        """The picture in colour, its longer side at most so many pixels, by averaging over whole pixels, (h, w, 3)."""
        factor = -(-max(self.width, self.height) // side)
        colour = self._image if self._image.mode == "RGB" else self._image.convert("RGB")
        return np.asarray(colour.reduce(factor) if factor > 1 else colour)

    def part(self, left: int, top: int, right: int, bottom: int) -> Pixels:
        """A part in colour, (bottom − top, right − left, 3), without making an array of the whole."""
        return np.asarray(self._image.crop((left, top, right, bottom)).convert("RGB"))


def stored_points(points: Points, size: tuple[int, int], orientation: int) -> Points:
    """Return where points of the upright picture are in the stored one: the way back from `upright`.

    Args:
        points: (n, 2), x and y.
        size: width and height of the upright picture.
        orientation: as in EXIF.
    """
    x, y = points[:, 0], points[:, 1]
    if orientation in _FLIPPED_ACROSS:
        x = size[0] - x
    if orientation in _FLIPPED_DOWN:
        y = size[1] - y
    return np.stack((y, x) if orientation in _TRANSPOSED else (x, y), axis=1)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return pixels turned as the tag Orientation says."""
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _FLIPPED_DOWN:
        pixels = pixels[::-1]
    if orientation in _FLIPPED_ACROSS:
        pixels = pixels[:, ::-1]
    return pixels


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as ``L`` or ``RGB``; Pillow alone would clip more than eight bits at white."""
    if image.mode in ("1", "LA", "La"):
        return image.convert("L")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float32)
        return Image.fromarray((values / _BITS_16).clip(0, 255).round().astype(np.uint8))
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        values = values - values.min()
        return Image.fromarray((values * (255.0 / max(float(values.max()), 1e-12))).astype(np.uint8))
    return image.convert("RGB")
