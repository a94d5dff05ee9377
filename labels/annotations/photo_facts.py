"""Read the facts that targets decide by from the catalogue, in batches of bounded size."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Image, SightingRecord
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.labels.targets.base import PhotoFacts

BATCH = 10_000
"""Number of image ids in a batch."""


@dataclass(frozen=True)
class IdRange:
    """Decodable images in a range of at most `BATCH` ids.

    Attributes:
        ids: Image ids, ascending.
    """

    ids: Sequence[int]

    @property
    def first(self) -> int:
        """Lowest id."""
        return self.ids[0]

    @property
    def last(self) -> int:
        """Highest id."""
        return self.ids[-1]

    def covers(self, column: Any) -> ColumnElement[bool]:
        """Return the condition that a column is between the first and the last id."""
        condition: ColumnElement[bool] = column.between(self.first, self.last)
        return condition


def decodable(where: str = "") -> ColumnElement[bool]:
    """Return the condition that an image has no decoding problem and matches a query.

    Raises:
        UsageError: The query is invalid.
    """
    return and_(Image.problem.is_(None), parse_where(where) if where.strip() else true())


def last_image(connection: Connection) -> int:
    """Return the highest image id, which is the total of a progress bar: counting photographs would read them all."""
    return connection.scalar(select(func.max(Image.id))) or 0


def id_ranges(connection: Connection, where: str = "", after: int = 0) -> Iterator[IdRange]:
    """Yield the images without a decoding problem in batches, empty ones omitted.

    Args:
        connection: Catalogue connection.
        where: Query that selects photographs (default: all).
        after: Id of an image; only later ones are yielded.

    Raises:
        UsageError: The query is invalid.
    """
    condition = decodable(where)
    for start in range(after, last_image(connection), BATCH):
        query = select(Image.id).where(Image.id > start, Image.id <= start + BATCH, condition).order_by(Image.id)
        ids = connection.scalars(query).all()
        if ids:
            yield IdRange(ids)


def read_facts(
    connection: Connection, id_range: IdRange, *, exif_columns: Collection[str], sightings: bool
) -> Iterator[PhotoFacts]:
    """Yield the facts of each image of a batch.

    Args:
        connection: Catalogue connection.
        id_range: The images.
        exif_columns: EXIF columns to read.
        sightings: Whether to read mediums and concepts of the sightings.
    """
    exif = resolved_exif(connection, range(id_range.first, id_range.last + 1), exif_columns)
    mediums: defaultdict[int, list[str]] = defaultdict(list)
    concepts: defaultdict[int, list[tuple[str, ...]]] = defaultdict(list)
    query = select(SightingRecord.image_id, SightingRecord.medium, SightingRecord.concepts)
    query = query.where(id_range.covers(SightingRecord.image_id)).order_by(SightingRecord.image_id, SightingRecord.id)
    rows: Iterable[Any] = connection.execute(query) if sightings else ()
    for image_id, medium, sighting_concepts in rows:
        if medium:
            mediums[image_id].append(medium)
        if sighting_concepts:
            concepts[image_id].append(tuple(sighting_concepts))
    for image_id in id_range.ids:
        yield PhotoFacts(image_id, exif.get(image_id, {}), tuple(mediums[image_id]), tuple(concepts[image_id]))
