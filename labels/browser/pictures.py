"""Photographs as browsers show them: originals without metadata, and thumbnails."""

import io
from pathlib import Path

from PIL import Image

from lightmeter.files import write_atomic
from lightmeter.images.metadata import strip_metadata
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from lightmeter.store.base import PhotoStore

_ROTATED_BY_BROWSERS = ("JPEG", "MPO")
_SHOWN_BY_BROWSERS = (*_ROTATED_BY_BROWSERS, "PNG", "GIF", "WEBP")
_THUMBNAIL_SIDE = 320


def original(store: PhotoStore, sha256: str) -> tuple[bytes, str]:
    """Return a photograph without metadata and its media type, as PNG if browsers might not show it upright.

    Raises:
        OSError: The file cannot be decoded.
        StoreError: It cannot be read.
    """
    data = store.read(sha256)
    with open_image(data) as image:
        upright = image.format in _ROTATED_BY_BROWSERS or pixel_orientation(image) == 1
        if image.format in _SHOWN_BY_BROWSERS and upright:
            return strip_metadata(data).data, "image/jpeg" if image.format in _ROTATED_BY_BROWSERS else Image.MIME[
                image.format
            ]
        out = io.BytesIO()
        display_image(image).save(out, "PNG")
    return out.getvalue(), "image/png"


def thumbnail(store: PhotoStore, cache: Path, sha256: str) -> tuple[bytes, str]:
    """Return a small upright JPEG of a photograph, from the cache if possible.

    Raises:
        OSError: The file cannot be decoded.
        StoreError: It cannot be read.
    """
    file = cache / f"{sha256}.jpg"
    if not file.is_file():
        out = io.BytesIO()
        display_image(store.read(sha256), _THUMBNAIL_SIDE).save(out, "JPEG", quality=85)
        write_atomic(file, out.getvalue())
    return file.read_bytes(), "image/jpeg"
