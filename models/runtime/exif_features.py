"""EXIF tags as network features: settings in stops, codes one-hot, and a flag for each tag that is present."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ...exposure import parse_number
from ...images.tiff import read_directories

_FLASH_FIRED = 1
_MAX_STOPS = 20.0

Tags = Mapping[str, Any]
"""EXIF tags by their names in Exif 2.32 or ExifTool; numbers, or text such as ``1/250``."""


class _Tag(NamedTuple):
    """One tag that can be a feature.

    Attributes:
        number: Tag number in the Exif IFD.
        names: Names in Exif 2.32 and ExifTool.
        column: Manifest column with the same content; empty if there is none.
        codes: For tags that are codes and not amounts: the codes of Exif 2.32, each with a column of its own.
    """

    number: int
    names: tuple[str, ...]
    column: str = ""
    codes: Sequence[int] = ()


_TAGS = {
    "f_number": _Tag(ExifTags.Base.FNumber, ("FNumber",), "f_number"),
    "exposure_time": _Tag(ExifTags.Base.ExposureTime, ("ExposureTime",), "exposure_time_s"),
    "iso": _Tag(ExifTags.Base.ISOSpeedRatings, ("ISO", "PhotographicSensitivity", "ISOSpeedRatings"), "iso"),
    "focal_length": _Tag(ExifTags.Base.FocalLength, ("FocalLength",), "focal_length_mm"),
    "focal_length_35mm": _Tag(
        ExifTags.Base.FocalLengthIn35mmFilm, ("FocalLengthIn35mmFilm", "FocalLengthIn35mmFormat"), "focal_length_35mm"
    ),
    "flash": _Tag(ExifTags.Base.Flash, ("Flash",), "flash_fired"),
    "metering_mode": _Tag(ExifTags.Base.MeteringMode, ("MeteringMode",), codes=range(1, 7)),
    "exposure_program": _Tag(ExifTags.Base.ExposureProgram, ("ExposureProgram",), codes=range(1, 9)),
    "white_balance": _Tag(ExifTags.Base.WhiteBalance, ("WhiteBalance",), codes=range(2)),
}
TAG_NAMES = tuple(_TAGS)
"""Tags that a recipe can use."""

MANIFEST_COLUMNS = {name: tag.column for name, tag in _TAGS.items() if tag.column}
"""The column of a data set's manifest that has the content of a tag."""


def feature_columns(tags: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of `exif_features` that each tag takes; the last one is its presence flag."""
    columns: dict[str, list[int]] = {}
    end = 0
    for name in tags:
        start, end = end, end + (len(_TAGS[name].codes) or 1)
        columns[name] = list(range(start, end))
    return {name: [*values, end + number] for number, (name, values) in enumerate(columns.items())}


def exif_features(image: Image.Image, tags: Sequence[str], overrides: Tags) -> NDArray[np.float32]:
    """Return the EXIF tags of a photograph as features.

    Args:
        image: An opened image, decoded or not.
        tags: Names from `TAG_NAMES`.
        overrides: Tags that replace those of the file; tags that are not selected are ignored.

    Returns:
        First the values (log2 of settings, whether the flash fired, 1 for the code of a tag; 0 where the tag is
        missing), then 1 for each tag that is present. `feature_columns` gives the column of each.

    Raises:
        ValueError: An override is not a number.
    """
    ifd = exif_ifd(image)
    numbers = {name: _number(_TAGS[name], overrides, ifd) for name in tags}
    values = [_encode(name, number) for name, number in numbers.items()]
    present = [float(any(value is not None for value in columns)) for columns in values]
    return np.asarray([value or 0.0 for columns in values for value in columns] + present, np.float32)


def exif_ifd(image: Image.Image) -> Mapping[int, Any]:
    """Return the tags of the Exif IFD by number; empty if they cannot be read.

    Pillow stops at the first damaged entry, so its own reader is used for TIFF alone, which has no EXIF block.
    """
    block = image.info.get("exif")
    if isinstance(block, bytes):
        directory = read_directories(block.removeprefix(b"Exif\0\0")).get("Exif", {})
        values = {tag: tuple(field.numbers()) for tag, field in directory.items()}
        return {tag: value[0] if len(value) == 1 else value for tag, value in values.items()}
    try:
        return image.getexif().get_ifd(ExifTags.IFD.Exif)
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}


def _number(tag: _Tag, overrides: Tags, ifd: Mapping[int, Any]) -> float | None:
    """Return the number of a tag, from the overrides if they have it, else from the file."""
    for name in tag.names:
        if overrides.get(name) not in (None, ""):
            number = parse_number(overrides[name]) if isinstance(overrides[name], str | int | float) else None
            if number is None:
                raise ValueError(f"The EXIF tag '{name}' must be a number or a fraction, such as 2.8 or \"1/250\".")
            return number
    stored = ifd.get(tag.number)
    return parse_number(stored[0] if isinstance(stored, tuple) and stored else stored)


def _encode(name: str, number: float | None) -> list[float | None]:
    """Return the value columns of a tag; None where the tag is missing or unknown."""
    if codes := _TAGS[name].codes:
        return [float(number == code) if number in codes else None for code in codes]
    if number is None:
        return [None]
    if name == "flash":
        return [float(int(number) & _FLASH_FIRED)]
    return [min(max(math.log2(number), -_MAX_STOPS), _MAX_STOPS) if number > 0 else None]
