"""What a photograph shows, by what it was searched for or the folder that it lay in."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from lightmeter.labels.targets.base import (
    SEPARATOR,
    Decision,
    Definition,
    OpenDefinition,
    PhotoFacts,
    Target,
    join_classes,
)


class ConceptDefinition(OpenDefinition):
    """Which of a sighting's concepts count; they go from the widest (the outermost folder) to the narrowest.

    Attributes:
        level: ``all``; ``first``, the widest; ``last``, the narrowest of several.
    """

    level: Literal["all", "first", "last"] = "all"


class Concept(Target[ConceptDefinition]):
    """Concepts in small letters, several a photograph."""

    reads: ClassVar[type[Definition]] = ConceptDefinition
    sightings: ClassVar = True
    multiple: ClassVar = True

    def decide(self, evidence: PhotoFacts) -> Decision:
        """Take the concepts of all sightings together."""
        found = {_word(concept) for concepts in evidence.concepts for concept in self._of_level(concepts)}
        names = sorted(found - {""})
        return Decision(join_classes(names)) if names else Decision(None, None, f"no {self.name}")

    def _of_level(self, concepts: Sequence[str]) -> Sequence[str]:
        if self.definition.level == "first":
            return concepts[:1]
        return concepts[1:][-1:] if self.definition.level == "last" else concepts


def _word(concept: str) -> str:
    return " ".join(concept.replace(SEPARATOR, "/").lower().split())
