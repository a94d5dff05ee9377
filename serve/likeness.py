"""Warnings for photographs that a model of how photographs are made cannot be trusted with. Runs inside an archive.

What such a model looks at (noise, blur, the traces of a camera's own processing) is destroyed or made up by resizing
and by compressing again, and a grey picture has lost two thirds of it.
"""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image

from models.predictor import Photograph
from models.spec import Preprocessing

_GREY_LEVELS = 1.0
_EVERY = 4  # pixels, in each direction: enough for a mean
_LEAST_QUALITY = 75
_RESIZED = 0.02
_EXIF_IFD = 0x8769
_PIXELS_ACROSS, _PIXELS_DOWN = 0xA002, 0xA003

# The luminance table of ITU-T T.81, annex K.1, whose scaling by the libjpeg "quality" is what most programs write.
_STANDARD_SUM = 3688  # of its 64 entries


def unlike(data: bytes, photograph: Photograph, settings: Preprocessing) -> list[dict[str, str]]:
    """Return what speaks against trusting an answer; nothing for a photograph as a camera leaves it.

    Args:
        data: the file, already found to be readable.
        photograph: what was cut from it.
        settings: how it was cut.

    Returns:
        Of each problem its ``kind`` (``monochrome``, ``tiny``, ``resaved``, ``resized``) and a sentence.
    """
    found = {"monochrome": _monochrome(photograph), "tiny": _tiny(photograph, settings), **_file(data)}
    return [{"kind": kind, "reason": reason} for kind, reason in found.items() if reason]


def _monochrome(photograph: Photograph) -> str:
    pictures = [values for name, values in photograph.inputs.items() if name in {"patches", "view"}]
    spread = max((_colour(values) for values in pictures), default=np.inf)
    return "The photograph is black and white; the model learnt from colours." if spread < _GREY_LEVELS else ""


def _colour(values: Any) -> float:
    """Return the mean difference between the greatest and the least of red, green and blue, in levels of 256."""
    channels = values[..., ::_EVERY, ::_EVERY].astype(np.int16)
    return float((channels.max(-3) - channels.min(-3)).mean())


def _tiny(photograph: Photograph, settings: Preprocessing) -> str:
    if not settings.patches or min(photograph.width, photograph.height) >= settings.patch_size:
        return ""
    return (
        f"The photograph has {photograph.width} × {photograph.height} pixels, less than one patch of "
        f"{settings.patch_size}; it was continued by its mirror image."
    )


def _file(data: bytes) -> dict[str, str]:
    """Return what the file's header tells, without decoding it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
    return {"resaved": _resaved(image), "resized": _resized(image)}


def _resaved(image: Image.Image) -> str:
    tables = getattr(image, "quantization", None)
    if not tables:
        return ""
    quality = jpeg_quality(sum(tables[min(tables)]))
    if quality >= _LEAST_QUALITY:
        return ""
    return f"The file is compressed to about JPEG quality {quality}, harder than cameras do; noise and detail are lost."


def jpeg_quality(total: int) -> int:
    """Return the libjpeg quality whose luminance table has entries of this sum, from 1 to 100.

    libjpeg scales the standard table by S per cent, S = 200 − 2 q for a quality q of 50 and more, else 5000 / q
    (jcparam.c, ``jpeg_quality_scaling``). Entries end at 255, so below 25 this is a little high.
    """
    percent = 100 * total / _STANDARD_SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(100, max(1, round(quality)))


def _resized(image: Image.Image) -> str:
    try:
        exif = image.getexif().get_ifd(_EXIF_IFD)
        recorded = sorted((float(exif[_PIXELS_ACROSS]), float(exif[_PIXELS_DOWN])))
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return ""
    stored = sorted(image.size)
    if recorded[0] <= 0 or all(abs(now / then - 1) <= _RESIZED for now, then in zip(stored, recorded, strict=True)):
        return ""
    return (
        f"The camera recorded {recorded[1]:.0f} × {recorded[0]:.0f} pixels and the file has {stored[1]} × {stored[0]}: "
        "it was resized or cropped."
    )
