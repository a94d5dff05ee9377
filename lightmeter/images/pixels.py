"""Decoded pixels of photographs as arrays of eight bits.

JPEG files are decoded by simplejpeg, which gives the pixels of Pillow in less time; everything that it does not decode
without a warning is left to Pillow. This module needs numpy and Pillow alone and is copied into model archives.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .reader import to_eight_bit

try:
    import simplejpeg
except ImportError:  # not in every server of model archives
    simplejpeg = None

Pixels = NDArray[np.uint8]

_JPEG_FORMATS = frozenset({"JPEG", "MPO", "RAW"})
_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGB"}
_MARKER, _START_OF_SCAN = 0xFF, b"\xff\xda"
_MAX_SCANNED_PIXELS = 1_000_000_000  # of all scans of a JPEG; no time limit can stop simplejpeg
_STRIP_BYTES = 1 << 18


def decode_pixels(image: Image.Image) -> Pixels:
    """Decode an image and return its pixels in file orientation, with eight bits as of `to_eight_bit`.

    Args:
        image: An image opened with Pillow, of any mode.

    Returns:
        Read-only pixels, shape (height, width) in grey or (height, width, 3) in RGB.

    Raises:
        MemoryError: There is not enough memory.
        Exception: The file is damaged; decoders raise nearly anything.
    """
    pixels = _decode_jpeg(image)
    if pixels is None:
        pixels = _array_of(to_eight_bit(image))
    pixels.flags.writeable = False
    return pixels


def _decode_jpeg(image: Image.Image) -> Pixels | None:
    """Return the pixels of a JPEG that was opened from memory; None if Pillow must decode it."""
    file, colour_space = getattr(image, "fp", None), _COLOUR_SPACES.get(image.mode)
    if simplejpeg is None or image.format not in _JPEG_FORMATS or not colour_space or not isinstance(file, io.BytesIO):
        return None
    data = file.getvalue()
    if _scans(data, image) * image.width * image.height > _MAX_SCANNED_PIXELS:
        return None
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colour_space)
    except ValueError:
        return None
    if pixels.shape[1::-1] != image.size:
        return None
    return pixels if colour_space == "RGB" else pixels[..., 0]


def _scans(data: bytes, image: Image.Image) -> int:
    """Return how many scans of a JPEG libjpeg reads at most: 1 if it is sequential and the first has all components."""
    position, last = 2, len(data) - 5
    while position < last and data[position] == _MARKER and data[position + 1] != _START_OF_SCAN[1]:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    is_complete = position < last and data[position + 4] == len(image.getbands()) and not image.info.get("progressive")
    return 1 if is_complete else data.count(_START_OF_SCAN)


def _array_of(image: Image.Image) -> Pixels:
    """Return a copy of an image, made strip by strip, because Pillow copies whole images twice."""
    image.load()
    pixels = np.empty((image.height, image.width, len(image.getbands())), dtype=np.uint8)
    pixels = pixels if image.mode == "RGB" else pixels[..., 0]
    rows = max(1, _STRIP_BYTES // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
