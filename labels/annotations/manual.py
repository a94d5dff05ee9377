"""Manual annotations: set labels, and show the label history of a photograph."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.lookup import find_image
from lightmeter.harvest.catalogue.models import Image, Label, SightingRecord
from lightmeter.labels.annotations.model import (
    Annotation,
    insert_annotations,
    read_annotations,
    resolve_conflicts,
)
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.targets.base import Target

_SIGHTING_COLUMNS = ("source", "file", "owner", "licence", "page_url")


def manual_annotation(image_id: int, target: Target[Any], value: str | None, author: str) -> Annotation:
    """Return a manual annotation.

    Args:
        image_id: Primary key of the image.
        target: The target.
        value: Class name, or several joined by ``|``; None removes the author's earlier label.
        author: Name of the annotator.

    Raises:
        UsageError: The target has no such class.
    """
    value = None if value is None else target.parse_value(value)
    return Annotation(image_id, target.name, value, target.number_of(value), MANUAL, author, None)


def set_labels(
    engine: Engine, photographs: Sequence[str], values: Mapping[Target[Any], str | None], author: str
) -> list[str]:
    """Label photographs manually, all of them or none.

    Args:
        engine: Catalogue engine.
        photographs: Names as for `find_image`.
        values: Class by target; None removes the author's earlier label.
        author: Name of the annotator.

    Returns:
        SHA-256 of each photograph.

    Raises:
        UsageError: A photograph or a class is unknown.
    """

    def work(connection: Connection) -> list[str]:
        images = [find_image(connection, name) for name in photographs]
        insert_annotations(
            connection,
            [manual_annotation(image, target, value, author) for image in images for target, value in values.items()],
        )
        rows = connection.execute(select(Image.id, Image.sha256).where(Image.id.in_(images)))
        hashes: dict[int, str] = dict(rows.all())
        return [hashes[image] for image in images]

    return write(engine, work)


@dataclass(frozen=True)
class BulkResult:
    """Result of labelling the photographs of a query.

    Attributes:
        photographs: Number of photographs that match.
        changed: Number of labels set or removed, by target.
        replaced: Number of effective labels of other classes that are replaced, by target and class.
    """

    photographs: int
    changed: dict[str, int]
    replaced: dict[str, Counter[str]]


def set_labels_where(
    engine: Engine, where: str, values: Mapping[Target[Any], str | None], author: str, *, dry_run: bool = False
) -> BulkResult:
    """Label all photographs of a query manually, all of them or none; labels that the author has set are kept.

    Args:
        engine: Catalogue engine.
        where: Query.
        values: Class by target; None removes the author's earlier label.
        author: Name of the annotator.
        dry_run: Change nothing.

    Raises:
        UsageError: The query or a class is invalid.
    """
    parsed = {target: None if value is None else target.parse_value(value) for target, value in values.items()}

    def work(connection: Connection) -> BulkResult:
        result = BulkResult(0, {target.name: 0 for target in parsed}, {target.name: Counter() for target in parsed})
        photographs = 0
        for id_range in id_ranges(connection, where):
            photographs += len(id_range.ids)
            annotations = read_annotations(connection, id_range.covers(Label.image_id), list(result.changed))
            new = list(_bulk_changes(id_range.ids, annotations, parsed, author, result))
            if not dry_run:
                insert_annotations(connection, new)
        return replace(result, photographs=photographs)

    return write(engine, work)


def _bulk_changes(
    images: Sequence[int],
    annotations: Sequence[Annotation],
    values: Mapping[Target[Any], str | None],
    author: str,
    result: BulkResult,
) -> Iterator[Annotation]:
    own = {(a.image_id, a.target): a.value for a in annotations if (a.origin, a.author) == (MANUAL, author)}
    effective = resolve_conflicts(annotations)
    for image in images:
        for target, value in values.items():
            key = (image, target.name)
            if own.get(key) == value:
                continue
            before = effective.get(key)
            if before is not None and before.value is not None and value is not None and before.value != value:
                result.replaced[target.name][before.value] += 1
            result.changed[target.name] += 1
            yield Annotation(image, target.name, value, target.number_of(value), MANUAL, author, None)


def photo_history(connection: Connection, name: str) -> dict[str, Any]:
    """Return the metadata and all annotations of a photograph.

    Args:
        connection: Catalogue connection.
        name: Name as for `find_image`.

    Returns:
        Columns of the image, ``sightings``, ``exif`` and ``labels``, oldest first, each with ``effective``.
    """
    image_id = find_image(connection, name)
    image = connection.execute(
        select(Image.sha256, Image.format, Image.width, Image.height, Image.problem).where(Image.id == image_id)
    ).one()
    sightings = select(*(getattr(SightingRecord, name) for name in _SIGHTING_COLUMNS))
    rows = connection.execute(sightings.where(SightingRecord.image_id == image_id))
    return {
        **image._asdict(),
        "sightings": [row._asdict() for row in rows],
        "exif": resolved_exif(connection, [image_id]).get(image_id, {}),
        "labels": label_history(connection, image_id),
    }


def label_history(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    """Return all annotations of a photograph, oldest first, each with ``effective``."""
    columns = [getattr(Label, name) for name in (*Annotation._fields, "created_at")]
    query = select(*columns).where(Label.image_id == image_id).order_by(Label.id)
    rows = connection.execute(query).all()
    annotations = [Annotation(*row[:-1]) for row in rows]
    effective = {id(annotation) for annotation in resolve_conflicts(annotations).values()}
    return [
        {**annotation._asdict(), "created_at": row.created_at, "effective": id(annotation) in effective}
        for annotation, row in zip(annotations, rows, strict=True)
    ]
