"""Opening and decoding images within limits; any failure becomes one short reason."""

import hashlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "ICO",
)  # fmt: skip
"""Accepted formats. Pillow reads more, some of them with the help of external programs."""

_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(?:avi|hei|mif)", re.DOTALL
)
_WEBP_CANVAS = slice(24, 30)
_MAX_REASON_LENGTH = 120


class UnreadableImage(Exception):
    """An image cannot be inspected; the message is the reason that is recorded."""


def open_image(data: bytes) -> Image.Image:
    """Open an image without decoding its pixels.

    Raises:
        UnreadableImage: The data is not an image, or its header is damaged.
    """
    if not data:
        raise UnreadableImage("empty")
    Image.init()
    try:
        with _pillow_defaults_disabled():
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        damaged = _MAGIC.match(data)
        raise UnreadableImage("undecodable: damaged header" if damaged else "not an image") from None
    except Exception as error:
        raise UnreadableImage(failure_reason(error)) from error


def decode(image: Image.Image) -> None:
    """Decode all pixels of an opened image.

    Raises:
        UnreadableImage: The pixels are incomplete or damaged.
    """
    try:
        with _pillow_defaults_disabled():
            image.load()
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
    content = repr(sorted((int(key), list(table)) for key, table in tables.items()))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def failure_reason(error: Exception) -> str:
    """Return a decoder's exception as a short reason."""
    message = " ".join(str(error).split())
    if re.search(r"truncated|unexpected end|not enough (image )?data|EOF", message, re.IGNORECASE):
        return "truncated"
    if isinstance(error, MemoryError):
        return "undecodable: not enough memory"
    message = re.sub(r"<.*?>", "", message)[:_MAX_REASON_LENGTH].strip()
    return f"undecodable: {message or type(error).__name__}"


@contextmanager
def _pillow_defaults_disabled() -> Iterator[None]:
    """Replace Pillow's pixel limit by the limits of this package, and ignore its warnings."""
    previous = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = previous
