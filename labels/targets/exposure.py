"""Targets that bin an exposure setting of the EXIF data."""

from abc import abstractmethod
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.labels.targets.base import ClassDefinition, Decision, Definition, PhotoFacts, Target


def _parse_fraction(value: object) -> object:
    """Convert exposure times such as ``"1/250"`` to numbers."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value))
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"'{value}' is not a number such as 0.5 or 1/250") from error


Quantity = Annotated[FiniteFloat, BeforeValidator(_parse_fraction), Field(gt=0)]


class Bin(ClassDefinition):
    """A class of values: either centred on a number of stops, or between two bounds.

    Attributes:
        stops: Centre of the class in the target's unit.
        lower: Smallest value of the class in the unit of the EXIF column, inclusive (``from`` in the file).
        upper: Largest value, inclusive (``to`` in the file).
    """

    stops: FiniteFloat | None = None
    lower: Quantity = Field(0.0, alias="from")
    upper: Quantity = Field(inf, alias="to")


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
            if any(first >= second for first, second in pairwise(centres)):
                raise ValueError("classes must be in the order of their stops, which must differ")
        elif centres or len(bounded) < len(self.classes):
            raise ValueError("either every class needs 'stops', or every class needs 'from' or 'to'")
        else:
            self._check_bounds()
        return self

    def _check_bounds(self) -> None:
        """Check that the classes lie apart, in ascending or descending order.

        Raises:
            ValueError: They do not.
        """
        for item in self.classes:
            if item.lower > item.upper:
                raise ValueError(f"'from' of class '{item.name}' is greater than its 'to'")
        ascending = sorted(self.classes, key=lambda item: (item.lower, item.upper))
        for first, second in pairwise(ascending):
            if first.upper >= second.lower:
                raise ValueError(f"the classes '{first.name}' and '{second.name}' overlap")
        if list(self.classes) not in (ascending, ascending[::-1]):
            raise ValueError("classes must be in the order of their bounds")


class BinnedTarget(Target[BinnedDefinition]):
    """Base class of targets that bin the number in their first EXIF column.

    Attributes:
        quantity: Name of the number in exclusion reasons.
        slack: How far beyond a bound a value still counts as the bound, in the target's unit. Cameras round: f/2.8 is
            2.83 exactly, and 1/60 s is 1/64 s.
    """

    definition_type: ClassVar[type[Definition]] = BinnedDefinition
    quantity: ClassVar[str]
    slack: ClassVar[float] = 0.1

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
        distance, name = min((self._distance(item, number), item.name) for item in self.definition.classes)
        if distance <= (self.definition.tolerance if self.stops else self.slack):
            return Decision(name, number)
        return Decision(None, number, self._gap(number))

    def _distance(self, item: Bin, number: float) -> float:
        """Return the distance of a number to the centre of a class or to its bounds, 0 between them."""
        low, high = self._range(item)
        return max(low - number, number - high, 0.0)

    def _range(self, item: Bin) -> tuple[float, float]:
        """Return the bounds of a class in the target's unit; both are its centre if it has one."""
        if item.stops is not None:
            return item.stops, item.stops
        low = self.to_unit(item.lower) if item.lower > 0 else -inf
        return low, self.to_unit(item.upper) if item.upper < inf else inf

    def _gap(self, number: float) -> str:
        """Return the exclusion reason of a number outside every class."""
        ranges = [(*self._range(item), item.name) for item in self.definition.classes]
        below = [(high, name) for _, high, name in ranges if high < number]
        above = [(low, name) for low, _, name in ranges if low > number]
        return f"between {max(below)[1]} and {min(above)[1]}" if below and above else "outside the classes"


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
    slack: ClassVar = 0.0
    to_unit = staticmethod(float)
