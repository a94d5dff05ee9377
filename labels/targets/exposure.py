"""Targets that the exposure settings in EXIF decide."""

from typing import ClassVar

from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.labels.targets.numeric import Numeric


class Aperture(Numeric):
    """The f-number, in APEX stops (Av)."""

    columns: ClassVar = ("f_number",)
    unit: ClassVar = "Av"
    what: ClassVar = "f-number"
    number = staticmethod(aperture_stops)


class Iso(Numeric):
    """The sensitivity, in stops above ISO 100."""

    columns: ClassVar = ("iso",)
    unit: ClassVar = "log2 (ISO / 100)"
    what: ClassVar = "ISO"
    number = staticmethod(iso_stops)


class Shutter(Numeric):
    """The exposure time, as the logarithm to base 2 of seconds."""

    columns: ClassVar = ("exposure_time_s",)
    unit: ClassVar = "log2 s"
    what: ClassVar = "exposure time"
    number = staticmethod(shutter_stops)


class FocalLength(Numeric):
    """The focal length that gives the same angle of view on 24 mm × 36 mm film, in millimetres."""

    columns: ClassVar = ("focal_length_35mm",)
    related: ClassVar = ("focal_length_mm",)
    unit: ClassVar = "mm"
    what: ClassVar = "35-mm-equivalent focal length"

    @staticmethod
    def number(value: float, /) -> float:
        """Return the millimetres as they are."""
        return value
