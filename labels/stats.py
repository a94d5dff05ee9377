"""Counting labels: those that count, by class and origin, and what the rule leaves out."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from labels import statements
from labels.apply import decisions
from labels.evidence import spans
from labels.targets.base import Target


@dataclass
class Statistics:
    """What labels a target has.

    Attributes:
        photographs: that could have one.
        classes: labels by class, in the target's order.
        origins: labels by origin.
        left_out: photographs without a label, by the reason that the rule gives.
    """

    photographs: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def labelled(self) -> int:
        """Photographs with a label."""
        return sum(self.classes.values())


def statistics(engine: Engine, target: Target[Any], where: str = "") -> Statistics:
    """Count the labels of a target.

    Args:
        engine: of the catalogue.
        target: whose labels.
        where: a query that chooses photographs; empty for all.
    """
    result = Statistics(classes=dict.fromkeys(target.classes, 0))
    with engine.connect() as connection:
        for span in spans(connection, where):
            labels = statements.resolve(statements.read(connection, span, [target.name]))
            for known, _, decision in decisions(connection, span, [target]):
                result.photographs += 1
                label = labels.get((known.image_id, target.name))
                if label and label.value:
                    result.classes[label.value] = result.classes.get(label.value, 0) + 1
                    result.origins[label.origin] += 1
                else:
                    result.left_out[decision.reason or "the rule was not applied yet"] += 1
    return result
