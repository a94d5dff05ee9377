"""Opening and decoding images for inspection; any failure becomes one short reason."""

import hashlib
import re
import struct
import warnings
from functools import lru_cache

from PIL import Image, UnidentifiedImageError

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images import reader

_WEBP_CANVAS = slice(24, 30)
_MAX_MESSAGE_LENGTH, _MAX_REASON_LENGTH = 1000, 120


class UnreadableImage(Exception):
    """An image cannot be inspected; the message is the reason that is recorded."""


def open_image(data: bytes) -> Image.Image:
    """Open an image without decoding its pixels.

    Raises:
        UnreadableImage: The data is not an image, its format is not supported, or its header is damaged.
    """
    if not data:
        raise UnreadableImage("empty")
    try:
        return reader.open_image(data)
    except UnidentifiedImageError as error:
        raise UnreadableImage(str(error)) from None
    except Exception as error:
        raise UnreadableImage(failure_reason(error)) from error


def decode(image: Image.Image, orientation: int) -> DecodedImage:
    """Decode all pixels of an opened image.

    Raises:
        UnreadableImage: The pixels are incomplete or damaged.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return DecodedImage(image, orientation)
    except Exception as error:
        raise UnreadableImage(failure_reason(error)) from error


def claimed_webp_pixels(data: bytes) -> int:
    """Return the number of pixels in a WebP header, 0 for other formats.

    The WebP decoder allocates memory for them as soon as a file is opened.
    """
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < _WEBP_CANVAS.stop:
        return 0
    low_w, high_w, low_h, high_h = struct.unpack("<HBHB", data[_WEBP_CANVAS])
    return int((1 + low_w + (high_w << 16)) * (1 + low_h + (high_h << 16)))


def quantisation_hash(image: Image.Image) -> str | None:
    """Return 16 hexadecimal digits that identify the quantisation tables of a JPEG; None for other formats."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return None
    return _hash_of_tables(tuple(sorted((int(key), tuple(table)) for key, table in tables.items())))


@lru_cache(maxsize=256)
def _hash_of_tables(tables: tuple[tuple[int, tuple[int, ...]], ...]) -> str:
    content = repr([(key, list(table)) for key, table in tables])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def failure_reason(error: Exception) -> str:
    """Return a decoder's exception as a short reason."""
    message = " ".join(str(error)[:_MAX_MESSAGE_LENGTH].split())
    if re.search(r"truncated|unexpected end|not enough (image )?data|EOF", message, re.IGNORECASE):
        return "truncated"
    if isinstance(error, MemoryError):
        return "undecodable: not enough memory"
    message = re.sub(r"<[^<>]*>", "", message)[:_MAX_REASON_LENGTH].strip()
    return f"undecodable: {message or type(error).__name__}"
