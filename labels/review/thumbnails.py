"""Images for the review page: originals that browsers show upright, and cached thumbnails."""

import io
from pathlib import Path

from PIL import Image, ImageOps

from lightmeter import image_grid
from lightmeter.files import write_atomic
from lightmeter.geometry import ORIENTATION_TAG
from lightmeter.harvest.store import path_of

_ROTATED_BY_BROWSERS = ("JPEG", "MPO")
_SHOWN_BY_BROWSERS = (*_ROTATED_BY_BROWSERS, "PNG", "GIF", "WEBP")
_THUMBNAIL_SIDE = 320


def original(store: Path, sha256: str) -> tuple[bytes, str]:
    """Return the bytes and media type of a photograph, converted to PNG if browsers might not show it upright.

    Raises:
        OSError: The file is missing or cannot be decoded.
    """
    data = path_of(store, sha256).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        upright = image.format in _ROTATED_BY_BROWSERS or image.getexif().get(ORIENTATION_TAG, 1) == 1
        if image.format in _SHOWN_BY_BROWSERS and upright:
            return data, "image/jpeg" if image.format in _ROTATED_BY_BROWSERS else Image.MIME[image.format]
        out = io.BytesIO()
        ImageOps.exif_transpose(image).convert("RGB").save(out, "PNG")
    return out.getvalue(), "image/png"


def thumbnail(store: Path, cache: Path, sha256: str) -> bytes:
    """Return a small upright JPEG of a photograph, from the cache if possible.

    Raises:
        OSError: The file is missing or cannot be decoded.
    """
    file = cache / f"{sha256}.jpg"
    if not file.is_file():
        out = io.BytesIO()
        image_grid.thumbnail(path_of(store, sha256), _THUMBNAIL_SIDE).save(out, "JPEG", quality=85)
        write_atomic(file, out.getvalue())
    return file.read_bytes()
