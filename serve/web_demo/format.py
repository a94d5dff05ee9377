"""What the page tells as photographers write it, what EXIF says among it, and which way up a picture is shown."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

from lightmeter.exposure import format_setting, parse_number

_TAGS = {
    "aperture": (ExifTags.Base.FNumber, "f_number"),
    "shutter": (ExifTags.Base.ExposureTime, "exposure_time_s"),
    "iso": (ExifTags.Base.ISOSpeedRatings, "iso"),
    "focal-length": (ExifTags.Base.FocalLength, "focal_length_mm"),
}


def read_settings(data: bytes) -> tuple[dict[str, str], int]:
    """Return what EXIF says of each quantity, and the orientation."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            told: Mapping[int, Any] = exif.get_ifd(ExifTags.IFD.Exif)
            orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}, 1
    settings = {}
    for quantity, (tag, column) in _TAGS.items():
        value = told.get(tag)
        number = parse_number(value[0] if isinstance(value, tuple) and value else value)
        if number is not None and 0 < number < 1e9:
            settings[quantity] = format_setting(column, number)
    return settings, orientation


def quantity_of_target(target: str) -> str:
    """Return the quantity that a target bins, for example ``shutter`` for ``shutter-binary``."""
    return next((name for name in _TAGS if target == name or target.startswith(f"{name}-")), target)


def format_number(target: str, number: float) -> str:
    """Format the number of a target in stops, such as ``1/80 s``."""
    _, column = _TAGS[quantity_of_target(target)]
    return format_setting(column, number)


def rotate_box(box: dict[str, int], width: int, height: int, orientation: int) -> dict[str, int]:
    """Return a box of the stored picture in the upright one (Exif 2.32, tag 0x0112).

    Args:
        box: ``x``, ``y``, ``width`` and ``height`` in pixels.
        width: of the stored picture.
        height: likewise.
        orientation: 1 to 8.
    """
    left, top = box["x"], box["y"]
    right, bottom = width - left - box["width"], height - top - box["height"]
    corner = {
        2: (right, top),
        3: (right, bottom),
        4: (left, bottom),
        5: (top, left),
        6: (bottom, left),
        7: (bottom, right),
        8: (top, right),
    }.get(orientation, (left, top))
    sides = (box["width"], box["height"]) if orientation < 5 else (box["height"], box["width"])
    return {"x": corner[0], "y": corner[1], "width": sides[0], "height": sides[1]}
