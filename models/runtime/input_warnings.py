"""Warnings for photographs on which the predictions of a model are unreliable.

Resizing and recompression destroy or fake the traces that such a model uses (noise, blur, in-camera processing), and a
greyscale photograph has lost two thirds of them. For photographs unlike the training photographs (out of distribution)
a model returns a prediction nonetheless.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .preprocess import FileHeader, ModelInput
from .spec import ModelSpec, Preprocessing

STATISTICS = ("long_side", "short_side", "jpeg_quality", "colourfulness")
"""Longer and shorter side in pixels, libjpeg quality, and mean difference between colour channels in levels of 256."""

_PIXEL_STEP = 4  # in both directions; enough for a mean
_MAX_GREY_LEVELS = 1.0  # mean colourfulness below which a photograph is greyscale
_MIN_JPEG_QUALITY = 75
_RESIZE_TOLERANCE = 0.02
_MARGIN = 0.1  # beyond the range of the training photographs, before a warning

_DESCRIPTIONS = {
    "long_side": "{value:.0f} pixels on its longer side",
    "short_side": "{value:.0f} pixels on its shorter side",
    "jpeg_quality": "a JPEG quality of about {value:.0f}",
    "colourfulness": "a colourfulness of {value:.0f} levels of 256",
}
_COVERED = {"monochrome": {"colourfulness"}, "tiny": {"short_side"}, "resaved": {"jpeg_quality"}}
"""Statistics that a warning already reports, so that they get no second warning."""


def input_warnings(photo: ModelInput, spec: ModelSpec) -> list[dict[str, str]]:
    """Return the reasons not to trust a prediction; an empty list for a photograph like the training photographs.

    Args:
        photo: The preprocessed photograph.
        spec: The specification of the model. Without ``ranges`` the training photographs are unknown.

    Returns:
        For each problem its ``kind`` (``monochrome``, ``tiny``, ``resaved``, ``resized``, ``outside``) and ``reason``.
    """
    statistics = image_statistics(photo)
    reasons = {
        "monochrome": _monochrome(statistics, spec.ranges),
        "tiny": _tiny(photo, spec.preprocessing),
        "resaved": _resaved(statistics, spec.ranges),
        "resized": _resized(photo.header),
    }
    covered = {name for kind, reason in reasons.items() if reason for name in _COVERED.get(kind, ())}
    remaining = [name for name in statistics if name in spec.ranges.keys() - covered]
    outside = [("outside", _outside(name, statistics[name], spec.ranges[name])) for name in remaining]
    return [{"kind": kind, "reason": reason} for kind, reason in [*reasons.items(), *outside] if reason]


def image_statistics(photo: ModelInput) -> dict[str, float]:
    """Return the `STATISTICS` of a photograph; only JPEG files have a quality, and only images have colours."""
    quality = photo.header.jpeg_quality if photo.header else None
    images = [values for name, values in photo.inputs.items() if name in {"patches", "view"}]
    statistics = {
        "long_side": float(max(photo.width, photo.height)),
        "short_side": float(min(photo.width, photo.height)),
    }
    if quality is not None:
        statistics["jpeg_quality"] = float(quality)
    if images:
        statistics["colourfulness"] = max(_colourfulness(values) for values in images)
    return statistics


def _colourfulness(values: NDArray[Any]) -> float:
    """Return the mean difference between the highest and the lowest colour channel, in levels of 256."""
    channels = values[..., ::_PIXEL_STEP, ::_PIXEL_STEP].astype(np.int16)
    return float((channels.max(-3) - channels.min(-3)).mean())


def _monochrome(statistics: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> str:
    minimum = min(_MAX_GREY_LEVELS, ranges.get("colourfulness", (_MAX_GREY_LEVELS,))[0])
    monochrome = statistics.get("colourfulness", _MAX_GREY_LEVELS) < minimum
    return "The photograph is black and white; the model was trained on colour photographs." if monochrome else ""


def _tiny(photo: ModelInput, settings: Preprocessing) -> str:
    if not settings.patches or min(photo.width, photo.height) >= settings.patch_size:
        return ""
    return (
        f"The photograph has {photo.width} × {photo.height} pixels, less than one patch of {settings.patch_size}; it "
        "was padded by reflection."
    )


def _resaved(statistics: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> str:
    quality = statistics.get("jpeg_quality", _MIN_JPEG_QUALITY)
    if quality >= min(_MIN_JPEG_QUALITY, ranges.get("jpeg_quality", (_MIN_JPEG_QUALITY,))[0]):
        return ""
    return f"The file is compressed to about JPEG quality {quality:.0f}, more strongly than cameras do; detail is lost."


def _resized(header: FileHeader | None) -> str:
    if header is None or header.recorded is None:
        return ""
    ratios = [after / before for after, before in zip(header.stored, header.recorded, strict=True)]
    if all(abs(ratio - 1) <= _RESIZE_TOLERANCE for ratio in ratios):
        return ""
    (stored_short, stored_long), (short, long) = header.stored, header.recorded
    return (
        f"The camera recorded {long:.0f} × {short:.0f} pixels and the file has {stored_long} × {stored_short}: "
        "it was resized or cropped."
    )


def _outside(name: str, value: float, training_range: tuple[float, float]) -> str:
    low, high = training_range
    if low * (1 - _MARGIN) <= value <= high * (1 + _MARGIN):
        return ""
    usual = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    return f"The photograph has {_DESCRIPTIONS[name].format(value=value)}; training photographs have {usual}."
