"""Targets for the camera that took a photograph, by make and model in the EXIF data."""

from collections.abc import Sequence
from typing import ClassVar
from unicodedata import normalize

from pydantic import Field

from lightmeter.labels.targets.base import SEPARATOR, Decision, Definition, OpenDefinition, PhotoFacts, Target


class CameraDefinition(OpenDefinition):
    """Canonical names of camera makers.

    Attributes:
        makes: Canonical names. An EXIF make that contains the words of one of them, case-insensitively, is replaced
            by the first that matches.
    """

    makes: tuple[str, ...] = Field(min_length=1)


class CameraMake(Target[CameraDefinition]):
    """Maker of the camera."""

    definition_type: ClassVar[type[Definition]] = CameraDefinition
    exif_columns: ClassVar = ("make",)
    related_columns: ClassVar = ("model",)

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the canonical name of the maker."""
        make = _canonical_make(facts, self.definition.makes)
        return Decision(make) if make else Decision(reason="no make")


class CameraModel(Target[CameraDefinition]):
    """Model of the camera, prefixed with its maker."""

    definition_type: ClassVar[type[Definition]] = CameraDefinition
    exif_columns: ClassVar = ("make", "model")

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return maker and model."""
        make, model = _canonical_make(facts, self.definition.makes), _normalise(facts.exif.get("model"))
        if not model:
            return Decision(reason="no model")
        model = model[len(make) :].strip() if model.lower().startswith(make.lower()) else model
        return Decision(f"{make} {model}".strip())


def _canonical_make(facts: PhotoFacts, makes: Sequence[str]) -> str:
    text = _normalise(facts.exif.get("make"))
    return next((make for make in makes if f" {make} ".lower() in f" {text} ".lower()), text)


def _normalise(value: object) -> str:
    """Compose characters (NFC), collapse white space and replace the class separator."""
    return " ".join(normalize("NFC", str(value or "").replace(SEPARATOR, " ")).split())
