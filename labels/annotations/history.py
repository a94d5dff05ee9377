"""Every statement of the catalogue, photograph by photograph, as it goes to other programs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from lightmeter.harvest.catalogue.models import Image, Label, Sighting
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges

ANNOTATION_COLUMNS = ("target", "value", "number", "origin", "author", "version", "confidence", "created_at")
"""What a statement is outside the catalogue."""


@dataclass(frozen=True)
class PhotoAnnotations:
    """What was ever said of a photograph.

    Attributes:
        sha256: of the photograph.
        file: the name that it had at its source.
        media_url: where it was fetched from.
        statements: the columns `STATEMENT` of each, oldest first.
    """

    sha256: str
    file: str | None
    media_url: str | None
    statements: Sequence[Mapping[str, Any]]


def annotations_by_photo(connection: Connection, targets: Sequence[str], where: str = "") -> Iterator[PhotoAnnotations]:
    """Yield the history of each photograph, also of those of which nothing was said.

    Args:
        connection: to the catalogue.
        targets: whose labels.
        where: a query that chooses photographs; empty for all.
    """
    for span in id_ranges(connection, where):
        said = _statements(connection, span, targets)
        named = _names(connection, span)
        hashes = select(Image.id, Image.sha256).where(span.covers(Image.id))
        by_id = dict(connection.execute(hashes).all())
        for image in span.ids:
            yield PhotoAnnotations(by_id[image], *named.get(image, (None, None)), said.get(image, ()))


def _statements(connection: Connection, span: IdRange, targets: Sequence[str]) -> dict[int, list[Mapping[str, Any]]]:
    query = select(Label.image_id, *(getattr(Label, name) for name in ANNOTATION_COLUMNS))
    query = query.where(span.covers(Label.image_id), Label.target.in_(targets))
    said: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for image, *values in connection.execute(query.order_by(Label.image_id, Label.created_at, Label.id)):
        said[image].append(dict(zip(ANNOTATION_COLUMNS, values, strict=True)))
    return said


def _names(connection: Connection, span: IdRange) -> dict[int, tuple[str | None, str | None]]:
    """Return the name and the address that the first sighting of each photograph gives it."""
    query = select(Sighting.image_id, Sighting.file, Sighting.media_url).where(span.covers(Sighting.image_id))
    found = connection.execute(query.order_by(Sighting.id.desc()))
    return {image: (name, url) for image, name, url in found if image is not None}
