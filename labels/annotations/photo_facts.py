"""Reading the catalogue: what is known of each photograph, in batches of bounded size."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Image, Sighting
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.labels.targets.base import PhotoFacts

BATCH = 10_000
"""How many image ids are looked at a time."""


@dataclass(frozen=True)
class IdRange:
    """Images of the catalogue that can be decoded, out of a range of at most `BATCH` ids.

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

    def covers(self, column: Any) -> ColumnElement[bool]:
        """Return the condition that a column is in the range from the first id to the last."""
        inside: ColumnElement[bool] = column.between(self.first, self.last)
        return inside


def id_ranges(connection: Connection, where: str = "", size: int = BATCH) -> Iterator[IdRange]:
    """Page through the images without a problem, by ranges of their ids, however few of them are meant.

    Args:
        connection: to the catalogue.
        where: a query; empty for all photographs.
        size: how many ids make a range.

    Raises:
        UsageError: if the query is wrong.
    """
    condition = and_(Image.problem.is_(None), parse_where(where) if where.strip() else true())
    last = connection.scalar(select(func.max(Image.id))) or 0
    for start in range(0, last, size):
        query = select(Image.id).where(Image.id > start, Image.id <= start + size, condition).order_by(Image.id)
        ids = connection.scalars(query).all()
        if ids:
            yield IdRange(ids)


def read_facts(
    connection: Connection, span: IdRange, *, columns: Collection[str], sightings: bool
) -> Iterator[PhotoFacts]:
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
        yield PhotoFacts(image_id, exif.get(image_id, {}), mediums, concepts)


def _said(connection: Connection, span: IdRange) -> dict[int, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    query = (
        select(Sighting.image_id, Sighting.medium, Sighting.concepts)
        .where(span.covers(Sighting.image_id))
        .order_by(Sighting.image_id, Sighting.id)
    )
    said: dict[int, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {}
    for image_id, medium, concepts in connection.execute(query):
        if image_id is None:
            continue
        mediums, paths = said.get(image_id, ((), ()))
        said[image_id] = (
            (*mediums, medium) if medium else mediums,
            (*paths, tuple(concepts)) if concepts else paths,
        )
    return said
