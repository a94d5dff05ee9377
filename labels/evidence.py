"""Reading the catalogue: what is known of each photograph, in batches of bounded size."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, true

from harvest.catalogue.resolve import resolved_exif
from harvest.catalogue.tables import Image, Sighting
from harvest.catalogue.where import parse_where
from labels.targets.base import Evidence

BATCH = 5_000
"""Photographs that are read at a time."""
_SPARSE = 4


@dataclass(frozen=True)
class Span:
    """Consecutive images of the catalogue that can be decoded.

    Attributes:
        ids: ascending.
    """

    ids: Sequence[int]

    @property
    def first(self) -> int:
        """The lowest id."""
        return self.ids[0]

    @property
    def last(self) -> int:
        """The highest id."""
        return self.ids[-1]

    def holds(self, column: Any) -> ColumnElement[bool]:
        """Return the condition that a column is one of the ids: a range, or a list where few in the range are meant."""
        dense = self.last - self.first < _SPARSE * len(self.ids)
        inside: ColumnElement[bool] = column.between(self.first, self.last) if dense else column.in_(self.ids)
        return inside


def spans(connection: Connection, where: str = "", size: int = BATCH) -> Iterator[Span]:
    """Page through the images without a problem, by their ids.

    Args:
        connection: to the catalogue.
        where: a query; empty for all photographs.
        size: how many images make a span.

    Raises:
        UsageError: if the query is wrong.
    """
    condition = and_(Image.problem.is_(None), parse_where(where) if where.strip() else true())
    last = 0
    while True:
        query = select(Image.id).where(Image.id > last, condition).order_by(Image.id).limit(size)
        ids = connection.scalars(query).all()
        if not ids:
            return
        yield Span(ids)
        last = ids[-1]


def evidence(connection: Connection, span: Span, *, columns: Collection[str], sightings: bool) -> Iterator[Evidence]:
    """Yield what is known of each image of a span.

    Args:
        connection: to the catalogue.
        span: the images.
        columns: EXIF columns that are needed.
        sightings: whether what the sources say is needed.
    """
    exif = resolved_exif(connection, span.first, span.last, columns)
    said = _said(connection, span) if sightings else {}
    for image_id in span.ids:
        mediums, concepts = said.get(image_id, ((), ()))
        yield Evidence(image_id, exif.get(image_id, {}), mediums, concepts)


def _said(connection: Connection, span: Span) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
    query = (
        select(Sighting.image_id, Sighting.medium, Sighting.concepts)
        .where(Sighting.image_id.between(span.first, span.last))
        .order_by(Sighting.image_id, Sighting.id)
    )
    said: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for image_id, medium, concepts in connection.execute(query):
        if image_id is None:
            continue
        mediums, all_concepts = said.get(image_id, ((), ()))
        said[image_id] = (
            (*mediums, medium) if medium else mediums,
            tuple(dict.fromkeys([*all_concepts, *(concepts or ())])),
        )
    return said
