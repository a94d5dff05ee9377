"""Targets, camera settings and patch boxes in the form in which the page shows them."""

from collections.abc import Mapping
from typing import NamedTuple

from lightmeter.exposure import format_setting
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.images.reader import open_image, pixel_orientation
from lightmeter.models.runtime.exif_features import exif_features


class _Quantity(NamedTuple):
    """The quantity of a target: its title, EXIF tag (of `exif_features`) and EXIF column (of `format_setting`)."""

    title: str
    tag: str = ""
    column: str = ""


_QUANTITIES = {
    "aperture": _Quantity("aperture", "f_number", "f_number"),
    "shutter": _Quantity("shutter speed", "exposure_time", "exposure_time_s"),
    "iso": _Quantity("ISO", "iso", "iso"),
    "focal-length": _Quantity("focal length", "focal_length", "focal_length_mm"),
    "medium": _Quantity("film or digital"),
}


def quantity_of_target(target: str) -> str:
    """Return the quantity that a target bins, for example ``shutter`` for ``shutter-binary``."""
    return next((name for name in _QUANTITIES if target == name or target.startswith(f"{name}-")), target)


def target_title(target: str) -> str:
    """Return the heading of a target, for example ``shutter speed (binary)`` for ``shutter-binary``."""
    name = quantity_of_target(target)
    variant = target[len(name) + 1 :]
    return (_QUANTITIES[name].title if name in _QUANTITIES else name) + (f" ({variant})" if variant else "")


def format_target_setting(target: str, value: float) -> str:
    """Format the setting that a target predicts, such as ``1/80 s``."""
    quantity = _QUANTITIES.get(quantity_of_target(target))
    return format_setting(quantity.column if quantity else target, value)


def read_exif(data: bytes) -> tuple[dict[str, str], int]:
    """Read an image's camera settings and orientation.

    Args:
        data: Bytes of the image file, which may be damaged.

    Returns:
        The formatted setting of each quantity that EXIF contains, and the orientation (1 to 8).
    """
    columns = {name: quantity.column for name, quantity in _QUANTITIES.items() if quantity.tag}
    try:
        with open_image(data) as image:
            orientation = pixel_orientation(image)
            features = exif_features(image, [_QUANTITIES[name].tag for name in columns], {}).tolist()
    except Exception:  # noqa: BLE001 - decoders of malicious files raise almost any exception
        return {}, 1
    stops, present = features[: len(columns)], features[len(columns) :]
    return {
        name: format_setting(column, 2.0**stop)
        for (name, column), stop, is_present in zip(columns.items(), stops, present, strict=True)
        if is_present
    }, orientation


def display_box(box: Mapping[str, int], file_size: Size, orientation: int) -> dict[str, int]:
    """Convert a box of the stored image to the image as browsers display it."""
    return to_display(Box(**box), file_size, orientation)._asdict()
