"""Opening and decoding bytes within limits. What is wrong with them comes out as one short reason."""

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
"""What is taken for a photograph. Pillow reads more, some of it with the help of other programs."""

_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(?:avi|hei|mif)", re.DOTALL
)
_WEBP_CANVAS = slice(24, 30)
_LONGEST_REASON = 120


class UnreadableImage(Exception):
    """Why a picture cannot be looked at; the message is the reason that is recorded."""


def open_image(data: bytes) -> Image.Image:
    """Open an image; nothing is decoded yet.

    Raises:
        Problem: if it is none, or its header is damaged.
    """
    if not data:
        raise UnreadableImage("empty")
    Image.init()
    try:
        with _quiet():
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        damaged = _MAGIC.match(data)
        raise UnreadableImage("undecodable: damaged header" if damaged else "not an image") from None
    except Exception as error:
        raise UnreadableImage(reason(error)) from error


def decode(image: Image.Image) -> None:
    """Decode all pixels.

    Raises:
        Problem: if they are not all there, or damaged beyond what the format forgives.
    """
    try:
        with _quiet():
            image.load()
    except Exception as error:
        raise UnreadableImage(reason(error)) from error


def claimed_pixels(data: bytes) -> int:
    """Return how many pixels a WebP file claims, whose decoder takes memory for them as soon as it is opened."""
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < _WEBP_CANVAS.stop:
        return 0
    low_w, high_w, low_h, high_h = struct.unpack("<HBHB", data[_WEBP_CANVAS])
    return int((1 + low_w + (high_w << 16)) * (1 + low_h + (high_h << 16)))


def quantisation_hash(image: Image.Image) -> str | None:
    """Return 16 hexadecimal digits that stand for a JPEG's quantisation tables, or None."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return None
    content = repr(sorted((int(key), list(table)) for key, table in tables.items()))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def reason(error: Exception) -> str:
    """Return what a decoder's exception means, in a few words."""
    words = " ".join(str(error).split())
    if re.search(r"truncated|unexpected end|not enough (image )?data|EOF", words, re.IGNORECASE):
        return "truncated"
    if isinstance(error, MemoryError):
        return "undecodable: not enough memory"
    words = re.sub(r"<.*?>", "", words)[:_LONGEST_REASON].strip()
    return f"undecodable: {words or type(error).__name__}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the limits here stand in place of Pillow's, and keep its warnings to ourselves."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
