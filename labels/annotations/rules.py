"""Applying rules: what each target says of every photograph, written where it is new."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.model import Annotation
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges, read_facts
from lightmeter.labels.targets.base import Decision, PhotoFacts, Target

AUTHOR = "lightmeter"
"""Who makes the statements of rules."""


@dataclass
class Outcome:
    """What a rule did.

    Attributes:
        photographs: looked at.
        labelled: photographs by class.
        left_out: photographs by the reason why they have no class.
        added: statements written: new labels, and changed ones.
        taken_back: statements that say that an earlier label of the rule no longer holds.
    """

    photographs: int = 0
    labelled: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    added: int = 0
    taken_back: int = 0


def count_photographs(engine: Engine, where: str = "") -> int | None:
    """Return how many images there are that rules look at; None where a query chooses them."""
    if where:
        return None
    with engine.connect() as connection:
        return connection.scalar(select(func.count(Image.id)).where(Image.problem.is_(None)))


def apply(
    engine: Engine, targets: Sequence[Target[Any]], where: str = "", advance: Callable[[int], object] = lambda _: None
) -> dict[str, Outcome]:
    """Label photographs by the rules of some targets; what a rule said before and still says is not repeated.

    Each batch is one transaction, so a stopped run goes on where it was.

    Args:
        engine: of the catalogue.
        targets: whose rules to apply.
        where: a query that chooses photographs; empty for all.
        advance: told after each batch how many photographs it held.

    Returns:
        What was done, by target.
    """
    outcomes = {target.name: Outcome() for target in targets}
    with engine.connect() as pages:
        for span in id_ranges(pages, where):
            with engine.begin() as connection:
                new = list(_news(connection, span, targets, outcomes))
                statements.insert(connection, new)
            advance(len(span.ids))
    return outcomes


def decisions(
    connection: Connection, span: IdRange, targets: Sequence[Target[Any]]
) -> Iterator[tuple[PhotoFacts, Target[Any], Decision]]:
    """Yield what each target's rule says of each image of a span."""
    columns = sorted({column for target in targets for column in target.exif_columns})
    sightings = any(target.needs_sightings for target in targets)
    for known in read_facts(connection, span, columns=columns, sightings=sightings):
        for target in targets:
            yield known, target, target.decide(known)


def _news(
    connection: Connection, span: IdRange, targets: Sequence[Target[Any]], outcomes: dict[str, Outcome]
) -> Iterator[Annotation]:
    said = {
        (one.image_id, one.target): one
        for one in statements.read(connection, span.covers(Label.image_id), [target.name for target in targets], "rule")
    }
    for known, target, decision in decisions(connection, span, targets):
        outcome = outcomes[target.name]
        outcome.photographs += 1
        if decision.value is None:
            outcome.left_out[decision.reason] += 1
        else:
            outcome.labelled[decision.value] += 1
        number = decision.number if decision.value is not None else None
        statement = Annotation(known.image_id, target.name, decision.value, number, "rule", AUTHOR, target.version)
        before = said.get((known.image_id, target.name))
        if decision.value is None and (before is None or before.value is None):
            continue
        if statement != before:
            outcome.added += decision.value is not None
            outcome.taken_back += decision.value is None
            yield statement
