"""Target for the medium: film or digital."""

import re
from functools import cached_property
from typing import ClassVar

from pydantic import Field

from lightmeter.labels.targets.base import Decision, Definition, PhotoFacts, Target


class MediumDefinition(Definition):
    """Classes, and how scanned film is recognised.

    Attributes:
        scanned_class: Class of images made by a scanner.
        scanners: Lower-case words that begin in the EXIF make, model or software of film scanners and scanning
            programs; words that end with a digit must also end there (``sp-500`` is not the camera SP-500UZ).
    """

    scanned_class: str
    scanners: tuple[str, ...] = Field(min_length=1)

    @cached_property
    def scanner(self) -> re.Pattern[str]:
        """Pattern of the words."""
        patterns = (re.escape(word) + (r"(?![a-z0-9])" if word[-1:].isdigit() else "") for word in self.scanners)
        return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(patterns)})")


class Medium(Target[MediumDefinition]):
    """Medium that the source declares, otherwise film if the metadata names a film or a film scanner.

    A camera says nothing: it may have copied a negative or a print.
    """

    definition_type: ClassVar[type[Definition]] = MediumDefinition
    exif_columns: ClassVar = ("make", "model", "software", "film")
    needs_sightings: ClassVar = True

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the declared medium, or the class of scanned film."""
        declared = {medium for medium in facts.mediums if medium in self.classes}
        if len(declared) > 1:
            return Decision(reason="sightings disagree")
        if declared:
            return Decision(declared.pop())
        make, model, software, film = (str(facts.exif.get(column) or "") for column in self.exif_columns)
        if film or self.definition.scanner.search(f"{make} {model} {software}".lower()):
            return Decision(self.definition.scanned_class)
        return Decision(reason="medium unknown (not declared, no film or scanner in EXIF)")
