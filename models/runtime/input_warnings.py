"""Warnings for photographs that a model of how photographs are made cannot be trusted with.

What such a model looks at (noise, blur, the traces of a camera's own processing) is destroyed or made up by resizing
and by compressing again, and a grey picture has lost two thirds of it. And of photographs unlike all those that it was
trained on, it says something nonetheless.
"""

from collections.abc import Mapping

from PIL import ExifTags, Image

from .exif_features import exif_ifd
from .image_stats import image_statistics
from .preprocess import ModelInput, open_image
from .spec import ModelSpec, Preprocessing

_GREY_LEVELS = 1.0
_LEAST_QUALITY = 75
_RESIZED = 0.02
_MARGIN = 0.1  # beyond the range of the training photographs, before that is worth a warning

_SAID = {
    "long_side": "{value:.0f} pixels on its longer side",
    "short_side": "{value:.0f} pixels on its shorter side",
    "jpeg_quality": "a JPEG quality of about {value:.0f}",
    "colourfulness": "a colourfulness of {value:.0f} levels of 256",
}
_SAME = {"monochrome": {"colourfulness"}, "tiny": {"short_side"}, "resaved": {"jpeg_quality"}}
"""The traits that a warning has told of already."""


def input_warnings(data: bytes, photograph: ModelInput, spec: ModelSpec) -> list[dict[str, str]]:
    """Return what speaks against trusting an answer; nothing for a photograph like those that the model knows.

    Args:
        data: the file, already found to be readable.
        photograph: what was cut from it.
        spec: of the model; without ``ranges`` nothing is known of its training photographs.

    Returns:
        Of each problem its ``kind`` (``monochrome``, ``tiny``, ``resaved``, ``resized``, ``outside``) and a sentence.
    """
    with open_image(data) as header:
        traits = image_statistics(header, photograph)
        resized = _resized(header)
    found = {
        "monochrome": _monochrome(traits, spec.ranges),
        "tiny": _tiny(photograph, spec.preprocessing),
        "resaved": _resaved(traits, spec.ranges),
        "resized": resized,
    }
    told = {trait for kind, reason in found.items() if reason for trait in _SAME.get(kind, ())}
    outside = [_outside(name, traits[name], spec.ranges[name]) for name in traits if name in spec.ranges.keys() - told]
    reasons = [*found.items(), *(("outside", reason) for reason in outside)]
    return [{"kind": kind, "reason": reason} for kind, reason in reasons if reason]


def _monochrome(traits: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> str:
    least = min(_GREY_LEVELS, ranges.get("colourfulness", (_GREY_LEVELS,))[0])
    grey = traits.get("colourfulness", _GREY_LEVELS) < least
    return "The photograph is black and white; the model learnt from colours." if grey else ""


def _tiny(photograph: ModelInput, settings: Preprocessing) -> str:
    if not settings.patches or min(photograph.width, photograph.height) >= settings.patch_size:
        return ""
    return (
        f"The photograph has {photograph.width} × {photograph.height} pixels, less than one patch of "
        f"{settings.patch_size}; it was continued by its mirror image."
    )


def _resaved(traits: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> str:
    quality = traits.get("jpeg_quality", _LEAST_QUALITY)
    if quality >= min(_LEAST_QUALITY, ranges.get("jpeg_quality", (_LEAST_QUALITY,))[0]):
        return ""
    return f"The file is compressed to about JPEG quality {quality:.0f}, harder than cameras do; detail is lost."


def _resized(header: Image.Image) -> str:
    try:
        exif = exif_ifd(header)
        recorded = sorted(float(exif[tag]) for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return ""
    stored = sorted(header.size)
    if recorded[0] <= 0 or all(abs(now / then - 1) <= _RESIZED for now, then in zip(stored, recorded, strict=True)):
        return ""
    return (
        f"The camera recorded {recorded[1]:.0f} × {recorded[0]:.0f} pixels and the file has {stored[1]} × {stored[0]}: "
        "it was resized or cropped."
    )


def _outside(name: str, value: float, learnt: tuple[float, float]) -> str:
    low, high = learnt
    if low * (1 - _MARGIN) <= value <= high * (1 + _MARGIN):
        return ""
    said = _SAID[name].format(value=value)
    usual = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    return f"The photograph has {said}; those that the model learnt from have {usual}."
