"""Gathering what a data set is made of: photographs that have a label, their labels, and whom they belong with."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from labels import statements
from labels.evidence import Span, spans
from labels.photographs import Photograph, photographs
from labels.statements import Statement
from labels.targets.base import Target


@dataclass
class Gathered:
    """Labelled photographs, column by column.

    Attributes:
        columns: manifest columns that come from the catalogue.
        classes: for each target the class of each photograph, or None.
        numbers: for each target the number of each photograph, or None.
        photographs: whom each belongs with.
        origins: for each target the labels by origin.
        strange: for each target the labels whose class its definition does not have; they are left out.
        outdated: for each target the rule labels of another version of its definition.
    """

    targets: Sequence[Target[Any]]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    classes: dict[str, list[str | None]] = field(default_factory=dict)
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    photographs: list[Photograph] = field(default_factory=list)
    origins: dict[str, Counter[str]] = field(default_factory=dict)
    strange: dict[str, Counter[str]] = field(default_factory=dict)
    outdated: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for target in self.targets:
            self.classes[target.name], self.numbers[target.name] = [], []
            self.origins[target.name], self.strange[target.name] = Counter(), Counter()

    def __len__(self) -> int:
        return len(self.photographs)

    def add(self, photograph: Photograph, labels: dict[str, Statement]) -> None:
        """Take in one photograph and the labels that count."""
        for name, value in photograph.columns.items():
            self.columns.setdefault(name, []).append(value)
        self.photographs.append(photograph)
        for target in self.targets:
            label = labels.get(target.name)
            self.classes[target.name].append(label.value if label else None)
            self.numbers[target.name].append(label.number if label else None)
            if label:
                self.origins[target.name][label.origin] += 1
                self.outdated[target.name] += label.origin == "rule" and label.version != target.version


def gather(connection: Connection, targets: Sequence[Target[Any]], where: str = "") -> Gathered:
    """Read every photograph that has a label of one of the targets; damaged ones stay out.

    Args:
        connection: to the catalogue.
        targets: of the data set.
        where: a query that chooses photographs; empty for all.
    """
    gathered = Gathered(targets)
    for span in spans(connection, where):
        labels = _labels(connection, span, gathered)
        for photograph in photographs(connection, span, labels.keys() & set(span.ids)):
            gathered.add(photograph, labels[photograph.image_id])
    return gathered


def _labels(connection: Connection, span: Span, gathered: Gathered) -> dict[int, dict[str, Statement]]:
    by_image: dict[int, dict[str, Statement]] = {}
    for label in _known(statements.read(connection, span, [t.name for t in gathered.targets]), gathered):
        by_image.setdefault(label.image_id, {})[label.target] = label
    return by_image


def _known(found: list[Statement], gathered: Gathered) -> Iterator[Statement]:
    classes = {target.name: set(target.classes) for target in gathered.targets}
    for label in statements.resolve(found).values():
        if label.value in classes[label.target]:
            yield label
        else:
            gathered.strange[label.target][str(label.value)] += 1
