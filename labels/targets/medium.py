"""Target for the medium: film or digital."""

from typing import ClassVar

from pydantic import Field

from lightmeter.labels.targets.base import Decision, Definition, PhotoFacts, Target


class MediumDefinition(Definition):
    """Classes, and how scanned film is recognised.

    Attributes:
        scanned_class: Class of images made by a scanner.
        scanners: Lower-case words in the EXIF make, model or software of film scanners and scanning programs.
    """

    scanned_class: str
    scanners: tuple[str, ...] = Field(min_length=1)


class Medium(Target[MediumDefinition]):
    """Medium that the source declares, otherwise film if the EXIF data names a scanner."""

    definition_type: ClassVar[type[Definition]] = MediumDefinition
    exif_columns: ClassVar = ("make", "model", "software")
    needs_sightings: ClassVar = True

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the declared medium, or film for scanners."""
        declared = {medium for medium in facts.mediums if medium in self.classes}
        if len(declared) > 1:
            return Decision(reason="sightings disagree")
        if declared:
            return Decision(declared.pop())
        device = " ".join(str(facts.exif.get(column) or "") for column in self.exif_columns).lower()
        if any(scanner in device for scanner in self.definition.scanners):
            return Decision(self.definition.scanned_class)
        return Decision(reason="medium unknown (not declared, no scanner in EXIF)")
