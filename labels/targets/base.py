"""The contract of target plugins: a rule that assigns photographs to classes declared in TOML."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message
from lightmeter.text.names import common_spellings, equal_names, folder_name, name_key, name_problem

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,47}$"
"""Regular expression of the names of targets."""

SEPARATOR = "|"
"""Separates the classes of a multilabel annotation; class names cannot contain it."""


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """Metadata of one photograph that a target decides by.

    Attributes:
        image_id: Primary key of the image in the catalogue.
        exif: The normalised EXIF columns of `Target.exif_columns`, each by precedence (file, API, sidecar).
        mediums: The medium that each sighting declares, ``film`` or ``digital``; empty if none does.
        concepts: For each sighting that has concepts, its search terms or folder names from widest to narrowest.
    """

    image_id: int
    exif: Mapping[str, Any] = field(default_factory=dict)
    mediums: tuple[str, ...] = ()
    concepts: tuple[tuple[str, ...], ...] = ()


class Decision(NamedTuple):
    """The result of a target's rule for one photograph.

    Attributes:
        value: Class name, or several joined by `SEPARATOR`; None excludes the photograph.
        number: Measured value in the target's unit, also given for values in an ambiguity band; None without one.
        reason: Why the photograph is excluded; empty if it is not.
    """

    value: str | None = None
    number: float | None = None
    reason: str = ""


class ClassDefinition(BaseModel):
    """One class of a target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str

    @field_validator("name")
    @classmethod
    def _safe_name(cls, name: str) -> str:
        problem = class_name_problem(name)
        if problem is None and name_key(folder_name(name)) != name_key(name.replace("/", "-")):
            problem = "cannot be the name of a folder on every system"
        if problem is not None:
            raise ValueError(f"the class name '{name}' {problem}")
        return name


class Definition(BaseModel):
    """Content of a definition file; plugins subclass it to add keys.

    Attributes:
        name: Name of the target on the command line.
        version: Version of the target; change it whenever the meaning of a label changes.
        by: Name of the target plugin that applies the definition.
        summary: One line for ``labels targets``.
        min_per_class: Classes with fewer photographs are excluded from data sets.
        classes: Classes in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(min_length=1, max_length=64)
    by: str
    summary: str
    min_per_class: int = Field(5, ge=1)
    classes: tuple[ClassDefinition, ...] = Field(min_length=2)

    @field_validator("classes")
    @classmethod
    def _unique_names(cls, classes: tuple[ClassDefinition, ...]) -> tuple[ClassDefinition, ...]:
        if problem := equal_classes_problem(item.name for item in classes):
            raise ValueError(problem)
        return classes


class OpenDefinition(Definition):
    """Definition of a target with open classes: the classes that occur in the photographs of a data set."""

    classes: tuple[ClassDefinition, ...] = Field((), max_length=0)


D = TypeVar("D", bound=Definition)


class Target(ABC, Generic[D]):
    """Base class of target plugins, which are registered in the entry-point group ``lightmeter.targets``.

    Definition files are in the folder ``definitions`` beside the plugin's module, or in ``targets`` of a project.

    Args:
        definition: The validated definition file.

    Attributes:
        definition_type: Model that validates definition files.
        exif_columns: Normalised EXIF columns that `decide` reads.
        related_columns: Other EXIF columns that reveal the class; shortcut baselines ignore them.
        needs_sightings: Whether `decide` reads ``mediums`` or ``concepts``.
        unit: Unit of `Decision.number`; empty if the target has no numbers.
        multilabel: Whether a photograph can have several classes.

    Example:
        >>> class Lens(Target[OpenDefinition]):
        ...     definition_type = OpenDefinition
        ...     exif_columns = ("lens",)
        ...
        ...     def decide(self, facts: PhotoFacts) -> Decision:
        ...         lens = facts.exif.get("lens")
        ...         return Decision(lens) if lens else Decision(reason="no lens")
        >>> target = Lens(OpenDefinition(name="lens", version="1", by="lens", summary="lens model"))
        >>> target.decide(PhotoFacts(1, {"lens": "EF 50"})).value
        'EF 50'
    """

    definition_type: ClassVar[type[Definition]] = Definition
    exif_columns: ClassVar[tuple[str, ...]] = ()
    related_columns: ClassVar[tuple[str, ...]] = ()
    needs_sightings: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    multilabel: ClassVar[bool] = False

    def __init__(self, definition: D) -> None:
        self.definition = definition

    @abstractmethod
    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the class of a photograph, or the reason why it has none."""

    @property
    def name(self) -> str:
        """Name of the definition."""
        return self.definition.name

    @property
    def version(self) -> str:
        """Version of the definition."""
        return self.definition.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order; empty for open classes."""
        return tuple(item.name for item in self.definition.classes)

    @property
    def stops(self) -> tuple[float, ...]:
        """The number of each class in the target's unit, for ordinal targets; otherwise empty."""
        return ()

    def parse_value(self, text: str) -> str:
        """Return the value to store for class names as typed; case and Unicode form do not matter.

        Args:
            text: A class name, or several joined by `SEPARATOR` for a multilabel target.

        Raises:
            UsageError: A class is unknown, or there are several and the target is not multilabel.
        """
        names = [" ".join(name.split()) for name in split_classes(text)]
        if len(names) > 1 and not self.multilabel:
            raise UsageError(f"Target {self.name} allows one class per photograph, not '{text}'.")
        classes = {name_key(name): name for name in (self.classes or names)}
        for name in names:
            problem = class_name_problem(name)
            if problem is not None:
                raise UsageError(f"The class name '{name}' {problem}.")
            if name_key(name) not in classes:
                raise UsageError(unknown_name_message(f"{self.name} class", name, list(self.classes)))
        values = {classes[name_key(name)] for name in names}
        return SEPARATOR.join(sorted(values, key=self.classes.index if self.classes else None))

    def spellings(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Return valid stored values with their classes spelled alike: as defined, open ones as most often written.

        Args:
            counts: Number of annotations by value.
        """
        written: Counter[str] = Counter()
        for value, count in counts.items():
            written.update(dict.fromkeys(split_classes(value), count))
        defined = {name_key(name): name for name in self.classes}
        names = {name: defined.get(name_key(name), common) for name, common in common_spellings(written).items()}
        order = self.classes.index if self.classes else str
        return {
            value: SEPARATOR.join(sorted({names[name] for name in split_classes(value)}, key=order))
            for value in counts
            if self.has_classes(value)
        }

    def has_classes(self, value: str) -> bool:
        """Return whether all classes of a stored value are classes of the target."""
        return not self.classes or {*map(name_key, split_classes(value))} <= {*map(name_key, self.classes)}

    def number_of(self, value: str | None) -> float | None:
        """Return the number of a class in the target's unit; None for targets that are not ordinal."""
        return dict(zip(self.classes, self.stops, strict=False)).get(value or "")


def class_name_problem(name: str) -> str | None:
    """Return what is wrong with a class name, or None."""
    return "contains '|'" if SEPARATOR in name else name_problem(name)


def equal_classes_problem(names: Iterable[str]) -> str | None:
    """Return which two classes cannot be told from each other on every system, or None."""
    equal = equal_names(names)
    return equal and f"the classes '{equal[0]}' and '{equal[1]}' have the same name or would share a folder"


def split_classes(value: str) -> tuple[str, ...]:
    """Return the class names of a stored value."""
    return tuple(value.split(SEPARATOR))
