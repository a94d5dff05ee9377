"""The normalised EXIF columns: name, type, unit and display format of each, defined once.

The SQL model, the query language, exports, manifests, pages and cards are made from `EXIF_COLUMNS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, get_args, get_type_hints

from lightmeter.exposure import format_setting

EXIF_PRECEDENCE = ("file", "api", "sidecar")
"""Where EXIF values can come from; the first origin that has a value determines the effective one."""


@dataclass(frozen=True, slots=True)
class ExifColumn:
    """One normalised EXIF column.

    Attributes:
        name: Name in SQL, queries, exports and manifests.
        type: ``str``, ``float``, ``bool`` or ``int``.
        unit: Unit of the stored value, empty for none.
        format: Returns a value as photographers write it, such as ``f/2.8`` or ``1/125 s``.
    """

    name: str
    type: type
    unit: str
    format: Callable[[Any], str]


def _format_flag(value: bool) -> str:
    return "yes" if value else "no"


def _column(unit: str = "", format: Callable[[Any], str] = str) -> Any:  # noqa: A002 - named after the attribute
    return field(default=None, metadata={"unit": unit, "format": format})


@dataclass(frozen=True, slots=True)
class ExifValues:
    """Normalised EXIF values of one photograph, None where no plausible value is known.

    Attributes:
        f_number: Focal length divided by the diameter of the entrance pupil.
        exposure_time_s: Exposure time in seconds.
        iso: Exposure index.
        focal_length_mm: Focal length of the lens.
        focal_length_35mm: Focal length with the same field of view on a 36 mm × 24 mm frame, in mm.
        flash_fired: Whether the flash fired.
        taken_at: Local time in ISO 8601, with an offset only if EXIF has one.
        software: Program that wrote the file.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).
    """

    make: str | None = _column()
    model: str | None = _column()
    lens: str | None = _column()
    f_number: float | None = _column(format=partial(format_setting, "f_number"))
    exposure_time_s: float | None = _column("s", partial(format_setting, "exposure_time_s"))
    iso: float | None = _column(format=partial(format_setting, "iso"))
    focal_length_mm: float | None = _column("mm", partial(format_setting, "focal_length_mm"))
    focal_length_35mm: float | None = _column("mm", partial(format_setting, "focal_length_35mm"))
    flash_fired: bool | None = _column(format=_format_flag)
    taken_at: str | None = _column()
    software: str | None = _column()
    orientation: int | None = _column()


_TYPES = get_type_hints(ExifValues)

EXIF_COLUMNS = {
    column.name: ExifColumn(column.name, get_args(_TYPES[column.name])[0], **column.metadata)
    for column in fields(ExifValues)
}
"""All columns by name, in display order."""

CAPTURE_COLUMNS = tuple(name for name in EXIF_COLUMNS if name not in ("software", "orientation"))
"""Names of the columns that describe the capture; the others describe the file."""
