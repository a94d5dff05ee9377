"""Label photographs by the rules of targets, writing only what changed."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations.model import Annotation, insert_annotations, read_annotations
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges, read_facts
from lightmeter.labels.targets.base import Decision, PhotoFacts, Target

AUTHOR = "lightmeter"
"""Author of annotations made by rules."""


@dataclass
class RuleResult:
    """Result of a target's rule.

    Attributes:
        photographs: Number of photographs processed.
        labelled: Photographs by class.
        excluded: Photographs without a class, by reason.
        added: Number of new or changed labels.
        removed: Number of earlier labels of the rule that no longer apply.
    """

    photographs: int = 0
    labelled: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    added: int = 0
    removed: int = 0

    def add(self, other: "RuleResult") -> None:
        """Add the counts of another result."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def update(self, decision: Decision) -> None:
        """Count one decision."""
        self.photographs += 1
        if decision.value is None:
            self.excluded[decision.reason] += 1
        else:
            self.labelled[decision.value] += 1


def apply(
    engine: Engine,
    targets: Sequence[Target[Any]],
    where: str = "",
    on_progress: Callable[[int], object] = lambda _: None,
) -> dict[str, RuleResult]:
    """Label photographs by the rules of targets; unchanged labels are kept.

    Each batch is one transaction, so an interrupted call leaves complete batches.

    Args:
        engine: Catalogue engine.
        targets: Targets to apply.
        where: Query that selects photographs (default: all).
        on_progress: Called after each batch with the number of image ids since the last call; see `last_image`.

    Returns:
        Results by target name.
    """
    results = {target.name: RuleResult() for target in targets}
    last = 0
    while True:
        id_range, batch = write(engine, partial(_apply_to_next, last, where, targets))
        if id_range is None:
            return results
        for name, result in batch.items():
            results[name].add(result)
        on_progress(id_range.last - last)
        last = id_range.last


def _apply_to_next(
    last: int, where: str, targets: Sequence[Target[Any]], connection: Connection
) -> tuple[IdRange | None, dict[str, RuleResult]]:
    """Label the first batch of images after an id; return the batch, None if there is none, and its results."""
    results = {target.name: RuleResult() for target in targets}
    id_range = next(id_ranges(connection, where, last), None)
    if id_range is not None:
        insert_annotations(connection, list(_changes(connection, id_range, targets, results)))
    return id_range, results


def decisions(
    connection: Connection, id_range: IdRange, targets: Sequence[Target[Any]]
) -> Iterator[tuple[PhotoFacts, Target[Any], Decision]]:
    """Yield the decision of each target on each image of a batch."""
    columns = sorted({column for target in targets for column in target.exif_columns})
    sightings = any(target.needs_sightings for target in targets)
    parsed: dict[tuple[str, str], str] = {}
    for facts in read_facts(connection, id_range, exif_columns=columns, sightings=sightings):
        for target in targets:
            yield facts, target, _decide(target, facts, parsed)


def _decide(target: Target[Any], facts: PhotoFacts, parsed: dict[tuple[str, str], str]) -> Decision:
    """Return a target's decision; one that cannot be stored, or an exception of a plugin, excludes the photograph.

    Args:
        target: The target.
        facts: Facts of the photograph.
        parsed: Values that were parsed before, by target name and value as decided.
    """
    try:
        value, number, reason = target.decide(facts)
        if value is not None and (target.name, value) not in parsed:
            parsed[target.name, value] = target.parse_value(value)
        number = float(number) if number is not None and math.isfinite(number) else None
        return Decision(value if value is None else parsed[target.name, value], number, reason)
    except UsageError as error:
        return Decision(reason=f"invalid class: {error}")
    except Exception as error:  # noqa: BLE001 - a plugin's own code
        return Decision(reason=f"{target.name} failed: {type(error).__name__}: {error}")


def _changes(
    connection: Connection, id_range: IdRange, targets: Sequence[Target[Any]], results: dict[str, RuleResult]
) -> Iterator[Annotation]:
    """Yield annotations for decisions that differ from the rule's previous annotation."""
    names = [target.name for target in targets]
    previous = {
        (annotation.image_id, annotation.target): annotation
        for annotation in read_annotations(connection, id_range.covers(Label.image_id), names, "rule")
    }
    for facts, target, decision in decisions(connection, id_range, targets):
        result = results[target.name]
        result.update(decision)
        before = previous.get((facts.image_id, target.name))
        value, number = decision.value, decision.number if decision.value is not None else None
        annotation = Annotation(facts.image_id, target.name, value, number, "rule", AUTHOR, target.version)
        if value is None and (before is None or before.value is None):
            continue
        if annotation != before:
            result.added += value is not None
            result.removed += value is None
            yield annotation
