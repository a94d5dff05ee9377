"""What the page tells as photographers write it, what EXIF says among it, and which way up a picture is shown."""

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from PIL import Image

_EXIF_IFD, _ORIENTATION = 0x8769, 0x0112
_TAGS = {"aperture": 0x829D, "shutter": 0x829A, "iso": 0x8827, "focal-length": 0x920A}
_MARKS = {"aperture": ("f/", ""), "shutter": ("", " s"), "focal-length": ("", " mm")}


def read_settings(data: bytes) -> tuple[dict[str, str], int]:
    """Return what EXIF says of each quantity, and the orientation."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            told: Mapping[int, Any] = exif.get_ifd(_EXIF_IFD)
            orientation = int(exif.get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - readers of hostile files raise nearly anything
        return {}, 1
    numbers = {quantity: number for quantity, tag in _TAGS.items() if (number := _number(told.get(tag)))}
    return {quantity: format_setting(quantity, number) for quantity, number in numbers.items()}, orientation


def quantity_of_target(target: str) -> str:
    """Return the quantity that a target bins, for example ``shutter`` for ``shutter-binary``."""
    return next((name for name in _TAGS if target == name or target.startswith(f"{name}-")), target)


def _number(value: object) -> float | None:
    try:
        number = float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return number if 0 < number < 1e9 else None


def format_setting(quantity: str, number: float) -> str:
    """Return an f-number, seconds, an ISO or millimetres as photographers write them."""
    if quantity == "shutter" and number < 0.3:
        return f"1/{round(1 / Fraction(number))} s"
    before, after = _MARKS.get(quantity, ("", ""))
    return f"{before}{number:.2g}{after}" if number < 10 else f"{before}{number:.0f}{after}"


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
