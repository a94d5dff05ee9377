"""Targets whose classes are ranges of one measured value."""

from abc import abstractmethod
from fractions import Fraction
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from lightmeter.labels.targets.base import ClassDefinition, Decision, Definition, PhotoFacts, Target


def _quantity(value: object) -> object:
    """Read ``"1/250"`` as people write exposure times."""
    return float(Fraction(value)) if isinstance(value, str) else value


Quantity = Annotated[float, BeforeValidator(_quantity), Field(gt=0)]


class Bin(ClassDefinition):
    """A class of values: either around a number of stops or between two bounds.

    Attributes:
        stops: the class's number; values within the definition's reach of it belong to the class.
        least: the smallest value that belongs to it, in the value's own unit (``from`` in the file).
        most: the largest (``to`` in the file).
    """

    stops: float | None = None
    least: Quantity | None = Field(None, alias="from")
    most: Quantity | None = Field(None, alias="to")


class Bins(Definition):
    """Classes of one value. Values that belong to none are left out: that is the ambiguity band.

    Attributes:
        reach: how far from a class's number a value may lie, in stops; under 0.5 leaves out those in the middle.
    """

    classes: tuple[Bin, ...] = Field(min_length=2)
    reach: float = Field(0.5, gt=0, le=0.5)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        numbers = [one.stops for one in self.classes if one.stops is not None]
        bounded = [one for one in self.classes if (one.least, one.most) != (None, None)]
        if len(numbers) == len(self.classes) and not bounded:
            if numbers != sorted(numbers):
                raise ValueError("the classes must stand in the order of their stops")
        elif numbers or len(bounded) < len(self.classes):
            raise ValueError("either every class has 'stops', or every class has 'from' or 'to'")
        return self


class Numeric(Target[Bins]):
    """Base of targets that bin one EXIF value.

    Attributes:
        what: the value in words, for the reason why a photograph is left out.
    """

    reads: ClassVar[type[Definition]] = Bins
    what: ClassVar[str]

    @staticmethod
    @abstractmethod
    def number(value: float, /) -> float:
        """Return a value of the EXIF column in the target's unit."""

    @property
    def stops(self) -> tuple[float, ...]:
        """The classes' numbers where they were declared by them."""
        return tuple(one.stops for one in self.definition.classes if one.stops is not None)

    def decide(self, evidence: PhotoFacts) -> Decision:
        """Bin the value."""
        value = evidence.exif.get(self.columns[0])
        if value is None:
            return Decision(None, None, f"no {self.what}")
        number = self.number(value)
        name = self._nearest(number) if self.stops else self._between(value)
        return Decision(name, number, "" if name else self._why_not(value, number))

    def _nearest(self, number: float) -> str | None:
        distance, name = min((abs(number - (one.stops or 0.0)), one.name) for one in self.definition.classes)
        return name if distance <= self.definition.reach else None

    def _between(self, value: float) -> str | None:
        for one in self.definition.classes:
            if (one.least is None or value >= one.least) and (one.most is None or value <= one.most):
                return one.name
        return None

    def _why_not(self, value: float, number: float) -> str:
        """Say between which two classes a value lies, or that it lies beyond them all."""
        below = [one.name for one in self.definition.classes if self._is_above(one, value, number)]
        above = [one.name for one in self.definition.classes if one.name not in below]
        return f"between {below[-1]} and {above[0]}" if below and above else "beyond the classes"

    def _is_above(self, one: Bin, value: float, number: float) -> bool:
        if one.stops is not None:
            return number > one.stops
        return one.most is not None and value > one.most
