"""Targets that people label by hand: classes, several classes, free text or a rating; no rule decides them."""

from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from lightmeter.labels.targets.base import (
    ClassDefinition,
    Decision,
    Definition,
    OpenDefinition,
    PhotoFacts,
    Target,
)

_MAX_RATING = 10


class Manual(Target[Definition]):
    """Classes that people choose from."""

    definition_type: ClassVar[type[Definition]] = Definition

    def decide(self, facts: PhotoFacts) -> Decision:
        """Leave the photograph to people."""
        return Decision(reason="labelled manually only")


class ManualMultiple(Manual):
    """Classes of which a photograph can have several."""

    multilabel: ClassVar = True


class TextDefinition(OpenDefinition):
    """Free text; a data set has the texts with at least ``min_per_class`` photographs as classes."""


class ManualText(Manual):
    """Free text, one line."""

    definition_type: ClassVar[type[Definition]] = TextDefinition


class RatingDefinition(Definition):
    """A rating from 1 to ``maximum``, as stars.

    Attributes:
        maximum: Best rating.
    """

    maximum: int = Field(5, ge=2, le=_MAX_RATING)
    classes: tuple[ClassDefinition, ...] = ()

    @field_validator("classes")
    @classmethod
    def _no_classes(cls, classes: tuple[ClassDefinition, ...]) -> tuple[ClassDefinition, ...]:
        if classes:
            raise ValueError("a rating has a maximum instead of classes")
        return classes

    @model_validator(mode="after")
    def _classes_of_ratings(self) -> "RatingDefinition":
        classes = tuple(ClassDefinition(name=str(number)) for number in range(1, self.maximum + 1))
        object.__setattr__(self, "classes", classes)  # the model is frozen
        return self


class ManualRating(Manual):
    """A rating, whose number is stored beside its class."""

    definition_type: ClassVar[type[Definition]] = RatingDefinition

    def number_of(self, value: str | None) -> float | None:
        """Return the rating as a number."""
        return float(value) if value in self.classes else None
