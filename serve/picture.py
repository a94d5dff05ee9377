"""What the page needs to know of a file: what its EXIF says, and which way up it is shown."""

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from PIL import Image

_EXIF_IFD, _ORIENTATION = 0x8769, 0x0112
_EXPOSURE_TIME, _F_NUMBER, _ISO, _FOCAL_LENGTH = 0x829A, 0x829D, 0x8827, 0x920A


def exif_of(data: bytes) -> tuple[dict[str, str], int]:
    """Return what EXIF says of each target, as a photographer writes it, and the orientation."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            told: Mapping[int, Any] = exif.get_ifd(_EXIF_IFD)
            orientation = int(exif.get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}, 1
    numbers = {
        target: number
        for target, tag in (
            ("aperture", _F_NUMBER),
            ("shutter", _EXPOSURE_TIME),
            ("iso", _ISO),
            ("focal_length", _FOCAL_LENGTH),
        )
        if (number := _number(told.get(tag)))
    }
    return {target: _written(target, number) for target, number in numbers.items()}, orientation


def _number(value: object) -> float | None:
    try:
        number = float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return number if 0 < number < 1e9 else None


def _written(target: str, number: float) -> str:
    if target == "shutter":
        return f"{number:g} s" if number >= 0.3 else f"1/{round(1 / Fraction(number))} s"
    return {"aperture": f"f/{number:g}", "iso": f"{number:.0f}", "focal_length": f"{number:g} mm"}[target]


def upright(box: dict[str, int], width: int, height: int, orientation: int) -> dict[str, int]:
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
