"""What a target is: a rule from what is known of a photograph to a class, with its classes declared in TOML."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message

SEPARATOR = "|"
"""What stands between the classes of a photograph that has several; no class has it in its name."""


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What is known of one photograph.

    Attributes:
        image_id: in the catalogue.
        exif: the normalised columns that were asked for, each from the first origin that has it.
        mediums: what its sightings say it was taken on.
        concepts: what it was found by, of each sighting from the widest to the narrowest.
    """

    image_id: int
    exif: Mapping[str, Any] = field(default_factory=dict)
    mediums: tuple[str, ...] = ()
    concepts: tuple[tuple[str, ...], ...] = ()


class Decision(NamedTuple):
    """What a rule says of one photograph.

    Attributes:
        value: the class, or several with `SEPARATOR` between them; None where the photograph is left out.
        number: the measured value in the target's unit; also known where the photograph is left out as ambiguous.
        reason: why it is left out; empty where it is not.
    """

    value: str | None
    number: float | None = None
    reason: str = ""


class ClassDefinition(BaseModel):
    """One class of a target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[^|]+$")


class Definition(BaseModel):
    """What a definition file says; each kind of target adds its own keys.

    Attributes:
        name: what people and commands call the target.
        version: changes whenever the meaning of a label does.
        by: the target plugin that reads the file.
        summary: one line for `labels targets`.
        least: photographs that a class must have to stand in a data set.
        classes: in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")
    version: str = Field(min_length=1, max_length=64)
    by: str
    summary: str
    least: int = Field(5, ge=1)
    classes: tuple[ClassDefinition, ...] = Field(min_length=2)

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[ClassDefinition, ...]) -> tuple[ClassDefinition, ...]:
        names = [one.name for one in classes]
        if len(set(names)) < len(names):
            raise ValueError("two classes have the same name")
        return classes


class OpenDefinition(Definition):
    """A definition whose classes are those that photographs turn out to have; freezing a data set fixes them."""

    classes: tuple[ClassDefinition, ...] = Field((), max_length=0)


D = TypeVar("D", bound=Definition)


class Target(ABC, Generic[D]):
    """Base of target plugins, found through the entry points ``lightmeter.targets``.

    A plugin says which definition file it reads and which class a photograph belongs to. Definition files lie in the
    folder ``definitions`` beside the plugin's module, or in ``targets`` of a project.

    Attributes:
        reads: what its definition files may say.
        columns: the normalised EXIF columns that it needs.
        related: further EXIF columns that give its class away; a baseline must not see them.
        sightings: whether it needs what the sources say.
        unit: what its numbers count; empty if it has none.
        multiple: whether a photograph can have several classes at once.
    """

    reads: ClassVar[type[Definition]] = Definition
    columns: ClassVar[tuple[str, ...]] = ()
    related: ClassVar[tuple[str, ...]] = ()
    sightings: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    multiple: ClassVar[bool] = False

    def __init__(self, definition: D) -> None:
        self.definition = definition

    @abstractmethod
    def decide(self, evidence: PhotoFacts) -> Decision:
        """Return the class of a photograph, or why it has none."""

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    @property
    def version(self) -> str:
        """The definition's version."""
        return self.definition.version

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in order; none where they are open."""
        return tuple(one.name for one in self.definition.classes)

    @property
    def stops(self) -> tuple[float, ...]:
        """One number a class where the target is ordinal, else empty."""
        return ()

    def value_of(self, words: str) -> str:
        """Return what a person wrote as the catalogue has it: a class, or several in order.

        Raises:
            UsageError: if there is no such class; the sentence names the nearest.
        """
        names = [word.strip() for word in split_classes(words)]
        if len(names) > 1 and not self.multiple:
            raise UsageError(f"A photograph has one class of {self.name}; '{words}' names several.")
        for name in names:
            if not name:
                raise UsageError(f"'{words}' names no class of {self.name}.")
            if self.classes and name not in self.classes:
                raise UsageError(unknown_name_message(f"class of {self.name}", name, list(self.classes)))
        return join_classes(sorted(set(names), key=self.classes.index if self.classes else None))

    def number_of(self, value: str | None) -> float | None:
        """Return the number of a class, where the target is ordinal."""
        return dict(zip(self.classes, self.stops, strict=False)).get(value or "")


def split_classes(value: str) -> tuple[str, ...]:
    """Return the classes that a label names."""
    return tuple(value.split(SEPARATOR))


def join_classes(names: Iterable[str]) -> str:
    """Return the label that names some classes."""
    return SEPARATOR.join(names)
