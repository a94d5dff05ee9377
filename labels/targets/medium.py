"""Whether a photograph was taken on film or on a sensor."""

from typing import ClassVar

from pydantic import Field

from lightmeter.labels.targets.base import Decision, Definition, PhotoFacts, Target


class MediumDefinition(Definition):
    """Classes and the scanners that give film away.

    Attributes:
        scanned: the class of what a scanner made.
        scanners: words that stand in make, model or software of film scanners and their programs, in small letters.
    """

    scanned: str
    scanners: tuple[str, ...] = Field(min_length=1)


class Medium(Target[MediumDefinition]):
    """Film or digital: what the sightings say, else film where EXIF names a scanner."""

    reads: ClassVar[type[Definition]] = MediumDefinition
    columns: ClassVar = ("make", "model", "software")
    sightings: ClassVar = True

    def decide(self, evidence: PhotoFacts) -> Decision:
        """Take the sightings' word before the scanner's."""
        declared = {medium for medium in evidence.mediums if medium in self.classes}
        if len(declared) > 1:
            return Decision(None, None, "sightings disagree")
        if declared:
            return Decision(declared.pop())
        named = " ".join(str(evidence.exif.get(column) or "") for column in self.columns).lower()
        if any(scanner in named for scanner in self.definition.scanners):
            return Decision(self.definition.scanned)
        return Decision(None, None, "neither declared nor scanned")
