"""Gathering what a data set is made of: photographs that have a label, their labels, and whom they belong with."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from labels import statements
from labels.evidence import Span, spans
from labels.photographs import COLUMNS, Photograph, photographs
from labels.statements import Statement
from labels.targets.base import Target


@dataclass
class Gathered:
    """Labelled photographs, column by column; words that recur are kept once.

    Attributes:
        parts: manifest columns that come from the catalogue, in batches.
        image_ids: in the catalogue.
        owners: everyone whom a source names as a photographer.
        bodies: hashes of camera bodies' serial numbers.
        phashes: 64-bit perceptual hashes.
        classes: for each target the class of each photograph, or None.
        numbers: for each target the number of each photograph, or None.
        origins: for each target the labels by origin.
        strange: for each target the labels whose class its definition does not have; they are left out.
        outdated: for each target the rule labels of another version of its definition.
    """

    targets: Sequence[Target[Any]]
    parts: list[pa.RecordBatch] = field(default_factory=list)
    image_ids: list[int] = field(default_factory=list)
    owners: list[tuple[str, ...]] = field(default_factory=list)
    bodies: list[str | None] = field(default_factory=list)
    phashes: list[int | None] = field(default_factory=list)
    classes: dict[str, list[str | None]] = field(default_factory=dict)
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    origins: dict[str, Counter[str]] = field(default_factory=dict)
    strange: dict[str, Counter[str]] = field(default_factory=dict)
    outdated: Counter[str] = field(default_factory=Counter)

    _words: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for target in self.targets:
            self.classes[target.name], self.numbers[target.name] = [], []
            self.origins[target.name], self.strange[target.name] = Counter(), Counter()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def table(self) -> pa.Table:
        """The manifest columns that come from the catalogue."""
        return pa.Table.from_batches(self.parts, COLUMNS)

    def column(self, name: str) -> list[Any]:
        """Return one of the columns that come from the catalogue."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def add(self, found: Sequence[Photograph], labels: Mapping[int, dict[str, Statement]]) -> None:
        """Take in photographs and the labels that count."""
        if not found:
            return
        columns = zip(*(one.columns for one in found), strict=True)
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, COLUMNS, strict=True)]
        self.parts.append(pa.RecordBatch.from_arrays(arrays, schema=COLUMNS))
        for photograph in found:
            self.image_ids.append(photograph.image_id)
            self.owners.append(self._once(photograph.owners))
            self.bodies.append(self._once(photograph.body))
            self.phashes.append(photograph.phash)
            self._add_labels(labels[photograph.image_id])

    def _once(self, word: Any) -> Any:
        return self._words.setdefault(word, word)

    def _add_labels(self, labels: Mapping[str, Statement]) -> None:
        for target in self.targets:
            label = labels.get(target.name)
            self.classes[target.name].append(self._once(label.value) if label else None)
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
        gathered.add(list(photographs(connection, span, labels.keys() & set(span.ids))), labels)
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
