"""Pictures for a browser: originals as they are, or as PNG; small ones for the contact sheet."""

import io
from pathlib import Path

from PIL import Image, ImageOps

from harvest.store import path_of

_SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_SMALL = (320, 320)


def original(store: Path, sha256: str) -> tuple[bytes, str]:
    """Return a photograph's bytes and media type, turned into PNG where a browser may not know its format."""
    data = path_of(store, sha256).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        if picture.format in _SHOWN:
            return data, _SHOWN[picture.format]
        out = io.BytesIO()
        picture.convert("RGB").save(out, "PNG")
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
        cache.mkdir(parents=True, exist_ok=True)
        file.write_bytes(out.getvalue())
    return file.read_bytes()
