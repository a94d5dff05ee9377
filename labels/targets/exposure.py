"""Targets that bin an exposure setting of the EXIF data."""

from abc import abstractmethod
from fractions import Fraction
from math import inf
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.labels.targets.base import ClassDefinition, Decision, Definition, PhotoFacts, Target


def _parse_fraction(value: object) -> object:
    """Convert exposure times such as ``"1/250"`` to numbers."""
    return float(Fraction(value)) if isinstance(value, str) else value


Quantity = Annotated[float, BeforeValidator(_parse_fraction), Field(gt=0)]


class Bin(ClassDefinition):
    """A class of values: either centred on a number of stops, or between two bounds.

    Attributes:
        stops: Centre of the class in the target's unit.
        lower: Smallest value of the class in the unit of the EXIF column, inclusive (``from`` in the file).
        upper: Largest value, inclusive (``to`` in the file).
    """

    stops: float | None = None
    lower: Quantity = Field(0.0, alias="from")
    upper: Quantity = Field(inf, alias="to")

    def is_below(self, value: float, number: float) -> bool:
        """Return whether the class lies below a value (in the unit of the EXIF column, and in that of the target)."""
        return number > self.stops if self.stops is not None else value > self.upper


class BinnedDefinition(Definition):
    """Classes that are bins of one number. Values outside every bin are excluded: the ambiguity band.

    Attributes:
        tolerance: Maximum distance to the centre of a class, in stops; below 0.5, values midway between two classes
            are excluded.
    """

    classes: tuple[Bin, ...] = Field(min_length=2)
    tolerance: float = Field(0.5, gt=0, le=0.5)

    @model_validator(mode="after")
    def _stops_or_bounds(self) -> Self:
        centres = [item.stops for item in self.classes if item.stops is not None]
        bounded = [item for item in self.classes if item.model_fields_set & {"lower", "upper"}]
        if len(centres) == len(self.classes) and not bounded:
            if centres != sorted(centres):
                raise ValueError("classes must be in the order of their stops")
        elif centres or len(bounded) < len(self.classes):
            raise ValueError("either every class needs 'stops', or every class needs 'from' or 'to'")
        return self


class BinnedTarget(Target[BinnedDefinition]):
    """Base class of targets that bin the number in their first EXIF column.

    Attributes:
        quantity: Name of the number in exclusion reasons.
    """

    definition_type: ClassVar[type[Definition]] = BinnedDefinition
    quantity: ClassVar[str]

    @staticmethod
    @abstractmethod
    def to_unit(value: float, /) -> float:
        """Convert a value of the EXIF column to the target's unit."""

    @property
    def stops(self) -> tuple[float, ...]:
        """Centre of each class; empty for classes with bounds."""
        return tuple(item.stops for item in self.definition.classes if item.stops is not None)

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the bin of the EXIF value."""
        value = facts.exif.get(self.exif_columns[0])
        if value is None:
            return Decision(reason=f"no {self.quantity}")
        number = self.to_unit(value)
        name = self._nearest(number) if self.stops else self._containing(value)
        return Decision(name, number, "" if name else self._gap(value, number))

    def _nearest(self, number: float) -> str | None:
        distance, name = min((abs(number - stops), name) for stops, name in zip(self.stops, self.classes, strict=True))
        return name if distance <= self.definition.tolerance else None

    def _containing(self, value: float) -> str | None:
        return next((item.name for item in self.definition.classes if item.lower <= value <= item.upper), None)

    def _gap(self, value: float, number: float) -> str:
        """Return the exclusion reason of a value outside every bin."""
        below = [item.name for item in self.definition.classes if item.is_below(value, number)]
        above = [name for name in self.classes if name not in below]
        return f"between {below[-1]} and {above[0]}" if below and above else "outside the classes"


class Aperture(BinnedTarget):
    """F-number, in APEX stops (Av)."""

    exif_columns: ClassVar = ("f_number",)
    unit: ClassVar = "Av"
    quantity: ClassVar = "f-number"
    to_unit = staticmethod(aperture_stops)


class Iso(BinnedTarget):
    """ISO sensitivity, in stops above ISO 100."""

    exif_columns: ClassVar = ("iso",)
    unit: ClassVar = "log2 (ISO / 100)"
    quantity: ClassVar = "ISO"
    to_unit = staticmethod(iso_stops)


class Shutter(BinnedTarget):
    """Exposure time, as the logarithm to base 2 of seconds."""

    exif_columns: ClassVar = ("exposure_time_s",)
    unit: ClassVar = "log2 s"
    quantity: ClassVar = "exposure time"
    to_unit = staticmethod(shutter_stops)


class FocalLength(BinnedTarget):
    """35-mm-equivalent focal length, in millimetres."""

    exif_columns: ClassVar = ("focal_length_35mm",)
    related_columns: ClassVar = ("focal_length_mm",)
    unit: ClassVar = "mm"
    quantity: ClassVar = "35-mm-equivalent focal length"
    to_unit = staticmethod(float)
