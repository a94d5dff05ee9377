"""Target for the content of a photograph: the search terms that returned it, or the folders that contained it."""

from collections.abc import Sequence
from typing import ClassVar, Literal
from unicodedata import normalize

from lightmeter.labels.targets.base import (
    SEPARATOR,
    Decision,
    Definition,
    OpenDefinition,
    PhotoFacts,
    Target,
    class_name_problem,
)


class ConceptDefinition(OpenDefinition):
    """Which concepts of a sighting become classes.

    Attributes:
        level: ``all``; ``first``, the widest (outermost folder); ``last``, the narrowest if there are several.
    """

    level: Literal["all", "first", "last"] = "all"


class Concept(Target[ConceptDefinition]):
    """Lower-case concepts of all sightings."""

    definition_type: ClassVar[type[Definition]] = ConceptDefinition
    needs_sightings: ClassVar = True
    multilabel: ClassVar = True

    def decide(self, facts: PhotoFacts) -> Decision:
        """Return the concepts of all sightings."""
        names = {_normalise(concept) for concepts in facts.concepts for concept in self._select(concepts)}
        names = {name for name in names if class_name_problem(name) is None}
        return Decision(SEPARATOR.join(sorted(names))) if names else Decision(reason=f"no {self.name}")

    def _select(self, concepts: Sequence[str]) -> Sequence[str]:
        if self.definition.level == "first":
            return concepts[:1]
        return concepts[1:][-1:] if self.definition.level == "last" else concepts


def _normalise(concept: str) -> str:
    return " ".join(normalize("NFC", concept.replace(SEPARATOR, "/").lower()).split())
