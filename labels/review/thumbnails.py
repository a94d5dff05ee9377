"""Pictures for a browser: originals as they are, or as upright PNG; small ones for the contact sheet."""

import io
from pathlib import Path

from PIL import Image, ImageOps

from lightmeter.files import write_atomic
from lightmeter.harvest.store import path_of

_SHOWN = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_TURNED_BY_BROWSERS = ("JPEG", "MPO")
_ORIENTATION = 0x0112
_SMALL = (320, 320)


def original(store: Path, sha256: str) -> tuple[bytes, str]:
    """Return a photograph's bytes and media type; an upright PNG where a browser may not show its format upright."""
    data = path_of(store, sha256).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        known = picture.format or ""
        upright = known in _TURNED_BY_BROWSERS or picture.getexif().get(_ORIENTATION, 1) == 1
        if known in _SHOWN and upright:
            return data, _SHOWN[known]
        out = io.BytesIO()
        ImageOps.exif_transpose(picture).convert("RGB").save(out, "PNG")
    return out.getvalue(), "image/png"


def small(store: Path, cache: Path, sha256: str) -> bytes:
    """Return a small JPEG of a photograph, upright; it is kept in a cache."""
    file = cache / f"{sha256}.jpg"
    if not file.is_file():
        with Image.open(path_of(store, sha256)) as picture:
            picture.draft("RGB", _SMALL)
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        upright.thumbnail(_SMALL)
        out = io.BytesIO()
        upright.save(out, "JPEG", quality=85)
        write_atomic(file, out.getvalue())
    return file.read_bytes()
