"""Counting labels: those that count, by class and origin, the values behind them, and what is left out and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.models import Inspection, Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.histogram import edges
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges
from lightmeter.labels.annotations.rules import decisions
from lightmeter.labels.targets.base import Target, split_classes

Values = NDArray[np.float64]


@dataclass
class Statistics:
    """What labels a target has.

    Attributes:
        photographs: that could have one.
        labelled: that have one.
        classes: labels by class, in the target's order; open classes from the commonest on.
        origins: labels by origin.
        left_out: photographs without a label, by the reason that the rule gives: ambiguity bands, missing EXIF.
        filtered: labelled photographs that each filter would drop.
        binned: the numbers that the rule puts into a class, in the target's unit.
        unbinned: the numbers that lie in no class.
    """

    photographs: int = 0
    labelled: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    binned: list[float] = field(default_factory=list, repr=False)
    unbinned: list[float] = field(default_factory=list, repr=False)

    def histogram(self, unit: str, most: int) -> tuple[Values, Values, Values]:
        """Return the numbers before binning: the bars' edges, and how many there are in a class and in none.

        Args:
            unit: of the target.
            most: bars.
        """
        sides = edges([*self.binned, *self.unbinned], unit, most)
        binned, unbinned = (
            np.histogram(values, sides)[0].astype(np.float64) for values in (self.binned, self.unbinned)
        )
        return sides, binned, unbinned


def statistics(engine: Engine, target: Target[Any], where: str = "") -> Statistics:
    """Count the labels of a target.

    Args:
        engine: of the catalogue.
        target: whose labels.
        where: a query that chooses photographs; empty for all.
    """
    result = Statistics(classes=dict.fromkeys(target.classes, 0))
    with engine.connect() as connection:
        for span in id_ranges(connection, where):
            _count_span(connection, span, target, result)
    if not target.classes:
        result.classes = dict(sorted(result.classes.items(), key=lambda item: (-item[1], item[0])))
    return result


def _count_span(connection: Connection, span: IdRange, target: Target[Any], result: Statistics) -> None:
    labels = statements.resolve_conflicts(statements.read(connection, span.covers(Label.image_id), [target.name]))
    labelled = set()
    for known, _, decision in decisions(connection, span, [target]):
        result.photographs += 1
        if decision.number is not None:
            (result.binned if decision.value else result.unbinned).append(decision.number)
        label = labels.get((known.image_id, target.name))
        if label is None or label.value is None:
            result.left_out[decision.reason or "the rule was not applied yet"] += 1
            continue
        labelled.add(known.image_id)
        result.origins[label.origin] += 1
        for name in split_classes(label.value):
            result.classes[name] = result.classes.get(name, 0) + 1
    result.labelled += len(labelled)
    dropped = select(Inspection.image_id, Inspection.filter).where(Inspection.verdict == "drop")
    for image_id, name in connection.execute(dropped.where(span.covers(Inspection.image_id))):
        result.filtered[name] += image_id in labelled
