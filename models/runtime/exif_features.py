"""EXIF tags as numbers for a network: settings in stops, one column a code, and whether each tag is there."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ...exposure import parse_number

_TAGS = {
    "f_number": ExifTags.Base.FNumber,
    "exposure_time": ExifTags.Base.ExposureTime,
    "iso": ExifTags.Base.ISOSpeedRatings,
    "focal_length": ExifTags.Base.FocalLength,
    "focal_length_35mm": ExifTags.Base.FocalLengthIn35mmFilm,
    "flash": ExifTags.Base.Flash,
    "metering_mode": ExifTags.Base.MeteringMode,
    "exposure_program": ExifTags.Base.ExposureProgram,
    "white_balance": ExifTags.Base.WhiteBalance,
}
NAMES = tuple(_TAGS)
"""Tags that a recipe can ask for."""

READ_FROM = {
    "f_number": "f_number",
    "exposure_time": "exposure_time_s",
    "iso": "iso",
    "focal_length": "focal_length_mm",
    "focal_length_35mm": "focal_length_35mm",
    "flash": "flash_fired",
}
"""The column of a data set's manifest that holds what a tag says."""

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

_CODES = {"metering_mode": range(1, 7), "exposure_program": range(1, 9), "white_balance": range(2)}
"""Tags whose numbers are no amounts but codes of Exif 2.32: each code gets a column of its own."""

_FIRED = 1


def columns_of(wanted: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of `tag_values` that each tag takes; the last of them says whether it is there."""
    found: dict[str, list[int]] = {}
    end = 0
    for name in wanted:
        begin, end = end, end + len(_CODES.get(name, (name,)))
        found[name] = list(range(begin, end))
    return {name: [*places, end + number] for number, (name, places) in enumerate(found.items())}


def tag_values(image: Image.Image, wanted: Sequence[str], told: Tags) -> NDArray[np.float32]:
    """Return the tags of a photograph as numbers.

    Args:
        image: opened, decoded or not.
        wanted: names of tags.
        told: tags that win over those in the file; others than the wanted ones are left alone.

    Returns:
        First the values (log2 of settings, whether the flash fired, 1 for the code that a tag has; 0 where there is
        none), then 1 for each tag that is there; `columns_of` says which is which.

    Raises:
        ValueError: if a tag that is told is no number.
    """
    block = exif_ifd(image)
    numbers = {name: _number(name, told, block.get(_TAGS[name])) for name in wanted}
    values = [_values(name, number) for name, number in numbers.items()]
    there = [float(any(found is not None for found in one)) for one in values]
    return np.asarray([found or 0.0 for one in values for found in one] + there, np.float32)


def exif_ifd(image: Image.Image) -> Mapping[int, Any]:
    """Return the tags of the Exif IFD by number; empty if they cannot be read."""
    try:
        return image.getexif().get_ifd(ExifTags.IFD.Exif)
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}


def _number(name: str, supplied: Tags, stored: object) -> float | None:
    """Return a tag's number, from the supplied tags if they have it, else from the file."""
    for tag in _TOLD_AS[name]:
        if supplied.get(tag) not in (None, ""):
            number = parse_number(supplied[tag]) if isinstance(supplied[tag], str | int | float) else None
            if number is None:
                raise ValueError(f"The EXIF tag '{tag}' must be a number or a fraction, such as 2.8 or \"1/250\".")
            return number
    return parse_number(stored[0] if isinstance(stored, tuple) and stored else stored)


def _values(name: str, number: float | None) -> list[float | None]:
    """Return what a tag's number is to a network, in as many columns as it takes; None where it says nothing."""
    if name in _CODES:
        return [float(number == code) if number in _CODES[name] else None for code in _CODES[name]]
    if number is None:
        return [None]
    if name == "flash":
        return [float(int(number) & _FIRED)]
    return [min(max(math.log2(number), -20.0), 20.0) if number > 0 else None]
