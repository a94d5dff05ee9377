"""Which camera took a photograph, as EXIF names it."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from lightmeter.labels.targets.base import SEPARATOR, Decision, Definition, OpenDefinition, PhotoFacts, Target


class CameraDefinition(OpenDefinition):
    """Makers under one name each, whatever their cameras write.

    Attributes:
        makes: a make in which the words of one of these names stand, in letters of any size, goes by that name; the
            first counts.
    """

    makes: tuple[str, ...] = Field(min_length=1)


class CameraMake(Target[CameraDefinition]):
    """Who made the camera."""

    reads: ClassVar[type[Definition]] = CameraDefinition
    columns: ClassVar = ("make",)
    related: ClassVar = ("model",)

    def decide(self, evidence: PhotoFacts) -> Decision:
        """Name the maker."""
        make = _make(evidence, self.definition.makes)
        return Decision(make) if make else Decision(None, None, "no make")


class CameraModel(Target[CameraDefinition]):
    """Which camera it was, with its maker's name in front."""

    reads: ClassVar[type[Definition]] = CameraDefinition
    columns: ClassVar = ("make", "model")

    def decide(self, evidence: PhotoFacts) -> Decision:
        """Name the camera."""
        make, model = _make(evidence, self.definition.makes), _words(evidence.exif.get("model"))
        if not model:
            return Decision(None, None, "no model")
        bare = model[len(make) :].strip() if model.lower().startswith(make.lower()) else model
        return Decision(f"{make} {bare}".strip())


def _make(evidence: PhotoFacts, makes: Sequence[str]) -> str:
    written = _words(evidence.exif.get("make"))
    return next((make for make in makes if f" {make} ".lower() in f" {written} ".lower()), written)


def _words(value: object) -> str:
    """Return a text of EXIF with single blanks, and nothing in it that separates classes."""
    return " ".join(str(value or "").replace(SEPARATOR, " ").split())
