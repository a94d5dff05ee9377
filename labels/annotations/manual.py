"""Manual annotations: set labels, and show the label history of a photograph."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.lookup import find_image
from lightmeter.harvest.catalogue.models import Image, Label, SightingRecord
from lightmeter.harvest.catalogue.session import write
from lightmeter.labels.annotations.model import Annotation, insert_annotations, resolve_conflicts
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
        "labels": _labels(connection, image_id),
    }


def _labels(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    columns = [getattr(Label, name) for name in (*Annotation._fields, "created_at")]
    query = select(*columns).where(Label.image_id == image_id).order_by(Label.id)
    rows = connection.execute(query).all()
    annotations = [Annotation(*row[:-1]) for row in rows]
    effective = {id(annotation) for annotation in resolve_conflicts(annotations).values()}
    return [
        {**annotation._asdict(), "created_at": row.created_at, "effective": id(annotation) in effective}
        for annotation, row in zip(annotations, rows, strict=True)
    ]
