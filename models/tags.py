"""EXIF tags as numbers for a network: settings in stops, and whether each tag is there."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EXIF_IFD = 0x8769
_TAGS = {
    "f_number": 0x829D,
    "exposure_time": 0x829A,
    "iso": 0x8827,
    "focal_length": 0x920A,
    "focal_length_35mm": 0xA405,
    "flash": 0x9209,
    "metering_mode": 0x9207,
    "exposure_program": 0x8822,
    "white_balance": 0xA403,
}
NAMES = tuple(_TAGS)
"""Tags that a recipe can ask for."""

DEFINES = {
    "aperture": {"f_number"},
    "shutter": {"exposure_time"},
    "iso": {"iso"},
    "focal_length": {"focal_length", "focal_length_35mm"},
}
"""The tags that a target's labels are made from; a model that is given them has nothing to learn."""

Tags = Mapping[str, Any]
"""EXIF tags as somebody tells them: by their names in Exif 2.32 or in ExifTool, numbers or text such as ``1/250``."""

_TOLD_AS = {
    "f_number": ("FNumber",),
    "exposure_time": ("ExposureTime",),
    "iso": ("ISO", "PhotographicSensitivity", "ISOSpeedRatings"),
    "focal_length": ("FocalLength",),
    "focal_length_35mm": ("FocalLengthIn35mmFilm", "FocalLengthIn35mmFormat"),
    "flash": ("Flash",),
    "metering_mode": ("MeteringMode",),
    "exposure_program": ("ExposureProgram",),
    "white_balance": ("WhiteBalance",),
}

_SCALED = {"f_number", "exposure_time", "iso", "focal_length", "focal_length_35mm"}
_FIRED = 1


def tag_values(image: Image.Image, wanted: Sequence[str], told: Tags) -> NDArray[np.float32]:
    """Return the tags of a photograph as numbers.

    Args:
        image: opened, decoded or not.
        wanted: names of tags.
        told: tags that win over those in the file; others than the wanted ones are left alone.

    Returns:
        Shape (2T,): the T values (log2 of settings; 0 where there is none), then 1 for each that is there.

    Raises:
        ValueError: if a tag that is told is no number.
    """
    try:
        block: Mapping[int, Any] = image.getexif().get_ifd(_EXIF_IFD)
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        block = {}
    values = [_value(name, _told(name, told, block.get(_TAGS[name]))) for name in wanted]
    there = [float(value is not None) for value in values]
    return np.asarray([value or 0.0 for value in values] + there, np.float32)


def _told(name: str, told: Tags, otherwise: object) -> object:
    for tag in _TOLD_AS[name]:
        if told.get(tag) not in (None, ""):
            return _number(tag, told[tag])
    return otherwise


def _number(tag: str, value: object) -> float:
    """Return the number that ``2.8``, ``1/250``, ``f/2.8`` or ``50 mm`` says."""
    text = str(value) if not isinstance(value, bool) else ""
    numerator, slash, denominator = text.removeprefix("f/").removesuffix("mm").removesuffix("s").partition("/")
    try:
        number = float(numerator) / (float(denominator) if slash else 1)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"The EXIF tag '{tag}' must be a number or a fraction, such as 2.8 or \"1/250\".")
    return number


def _value(name: str, raw: object) -> float | None:
    try:
        number = float(raw[0] if isinstance(raw, tuple) else raw)  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    if not math.isfinite(number):
        return None
    if name == "flash":
        return float(int(number) & _FIRED)
    if name not in _SCALED:
        return min(max(number, 0.0), 10.0)
    return min(max(math.log2(number), -20.0), 20.0) if number > 0 else None
