"""Annotations in the catalogue: an append-only log of labels, and the effective label of each photograph."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Select, and_, cast, func, insert, literal, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.effective_labels import LABEL_PRECEDENCE
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Image, Label, SightingRecord
from lightmeter.labels.annotations.photo_facts import IdRange, id_ranges

ANNOTATION_COLUMNS = ("target", "value", "number", "origin", "author", "version", "confidence", "created_at")
"""Columns of an annotation in exported files."""


class Annotation(NamedTuple):
    """One annotation of one image.

    Attributes:
        image_id: Primary key of the image.
        target: Name of the target.
        value: Class name, or several joined by ``|``; None removes the earlier annotation of the same author.
        number: The value in the target's unit; None for targets without numbers.
        origin: One of `LABEL_PRECEDENCE`.
        author: The annotator, program or model.
        version: Version of the target's rule; None for other origins.
    """

    image_id: int
    target: str
    value: str | None
    number: float | None
    origin: str
    author: str
    version: str | None


_TYPES = {"image_id": pa.int64(), "number": pa.float64()}
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Annotation._fields])


def read_annotations(
    connection: Connection, images: ColumnElement[bool], targets: Collection[str], origin: str | None = None
) -> list[Annotation]:
    """Return annotations, oldest first: in the order in which they were stored, whatever the clock said.

    Args:
        connection: Catalogue connection.
        images: Condition on the table ``labels`` that selects images.
        targets: Names of targets.
        origin: Only annotations of this origin (default: all).
    """
    query = _select(images, targets).order_by(Label.id)
    if origin is not None:
        query = query.where(Label.origin == origin)
    return [Annotation(*row) for row in connection.execute(query)]


def insert_annotations(connection: Connection, annotations: Collection[Annotation]) -> None:
    """Insert annotations with the current time."""
    now = datetime.now(UTC)
    insert_rows(connection, Label, [{**annotation._asdict(), "created_at": now} for annotation in annotations])


def insert_annotation_of_many(connection: Connection, images: NDArray[np.int64], annotation: Annotation) -> None:
    """Insert one annotation for each of many images, in one statement and in the order of the ids.

    The statement names ranges of ids: 100,000 ids would take as long to pass as a third of the rows to write. It joins
    them with the images, so that its transaction needs no ``foreign_keys``.

    Args:
        connection: Catalogue connection.
        images: Image ids, each once.
        annotation: The annotation; its image id is ignored.

    Raises:
        UsageError: An image does not exist, or no longer.
    """
    first, last = _id_ranges(connection, images)
    values = {**annotation._asdict(), "created_at": datetime.now(UTC)}
    columns = {name: literal(values[name], Label.__table__.c[name].type) for name in values if name != "image_id"}
    query = select(Image.id, *columns.values()).where(Image.id.between(first, last))
    statement = insert(Label).from_select(["image_id", *columns], query, include_defaults=False)
    result = connection.execute(statement, execution_options={"preserve_rowcount": True})
    if result.rowcount != len(images):
        raise UsageError("There is no such photograph.")


def _id_ranges(connection: Connection, ids: NDArray[np.int64]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return columns with the first and the last id of each run of consecutive ids."""
    ids = np.sort(ids)
    ends = np.flatnonzero(np.diff(ids) != 1)
    first, last = ids[np.r_[0, ends + 1]].tolist(), ids[np.r_[ends, len(ids) - 1]].tolist()
    if connection.dialect.name == "postgresql":
        arrays = (cast(values, ARRAY(BigInteger)) for values in (first, last))
        ranges = func.unnest(*arrays).table_valued("first", "last").render_derived()
        return ranges.c.first, ranges.c.last
    pairs = func.json_each(json.dumps(dict(zip(first, last, strict=True)))).table_valued("key", "value")
    return cast(pairs.c.key, BigInteger), pairs.c.value


def effective_annotations(connection: Connection, images: ColumnElement[bool], targets: Collection[str]) -> pa.Table:
    """Return the effective annotation of each image and target, sorted by target and ``image_id``.

    Args:
        connection: Catalogue connection.
        images: Condition on the table ``labels`` that selects images.
        targets: Names of targets.

    Returns:
        A table with the fields of `Annotation` as columns.
    """
    query = _select(images, targets).order_by(Label.target, Label.image_id, Label.id)
    rows = read_table(connection, query, _SCHEMA)
    if not rows.num_rows:
        return rows
    image, target = rows["image_id"].to_numpy(), rows["target"].combine_chunks().dictionary_encode().indices.to_numpy()
    same_as_previous = (image[1:] == image[:-1]) & (target[1:] == target[:-1])
    repeated = np.r_[False, same_as_previous] | np.r_[same_as_previous, False]
    single = rows.filter(pc.and_(pa.array(~repeated), pc.is_valid(rows["value"])))
    if not repeated.any():  # almost always: one annotation per image
        return single
    resolved = resolve_conflicts(Annotation(**row) for row in rows.filter(pa.array(repeated)).to_pylist())
    resolved_rows = pa.Table.from_pylist([annotation._asdict() for annotation in resolved.values()], _SCHEMA)
    return pa.concat_tables([single, resolved_rows]).sort_by([("target", "ascending"), ("image_id", "ascending")])


def _select(images: ColumnElement[bool], targets: Collection[str]) -> Select[Any]:
    columns = [getattr(Label, name) for name in Annotation._fields]
    return select(*columns).where(images, Label.target.in_(targets))


def resolve_conflicts(annotations: Iterable[Annotation]) -> dict[tuple[int, str], Annotation]:
    """Return the effective annotation by image and target.

    For each author only the newest annotation counts. Among authors the precedence is `LABEL_PRECEDENCE`; within one
    origin the newest annotation is effective.

    Args:
        annotations: Annotations, oldest first.
    """
    newest: dict[tuple[int, str, str, str], Annotation] = {}
    for annotation in annotations:
        key = (annotation.image_id, annotation.target, annotation.origin, annotation.author)
        newest.pop(key, None)  # keeps the order of the newest annotations
        newest[key] = annotation
    effective: dict[tuple[int, str], Annotation] = {}
    for annotation in newest.values():
        previous = effective.get((annotation.image_id, annotation.target))
        if annotation.value is not None and (previous is None or _rank(annotation) <= _rank(previous)):
            effective[annotation.image_id, annotation.target] = annotation
    return effective


def _rank(annotation: Annotation) -> int:
    return LABEL_PRECEDENCE.index(annotation.origin)


@dataclass(frozen=True)
class PhotoAnnotations:
    """All annotations of one photograph, for export.

    Attributes:
        sha256: SHA-256 of the image.
        file: File name at its first source.
        media_url: Address from which it was downloaded.
        annotations: Values of `ANNOTATION_COLUMNS`, oldest first.
    """

    sha256: str
    file: str | None
    media_url: str | None
    annotations: Sequence[Mapping[str, Any]]


def annotations_by_photo(connection: Connection, targets: Sequence[str], where: str = "") -> Iterator[PhotoAnnotations]:
    """Yield all annotations of each photograph, including photographs without any.

    Args:
        connection: Catalogue connection.
        targets: Names of targets.
        where: Query that selects photographs (default: all).
    """
    query = select(Image.id, Image.sha256, SightingRecord.file, SightingRecord.media_url)
    query = query.order_by(SightingRecord.id.desc())
    for id_range in id_ranges(connection, where):
        annotations = _all_annotations(connection, id_range, targets)
        same = and_(SightingRecord.image_id == Image.id, id_range.covers(SightingRecord.image_id))
        rows = connection.execute(query.outerjoin(SightingRecord, same).where(id_range.covers(Image.id)))
        photos: dict[int, Any] = {image: values for image, *values in rows}  # the first sighting comes last and is kept
        for image in id_range.ids:
            sha256, file, media_url = photos[image]
            yield PhotoAnnotations(sha256, file, media_url, annotations.get(image, ()))


def _all_annotations(
    connection: Connection, id_range: IdRange, targets: Sequence[str]
) -> dict[int, list[Mapping[str, Any]]]:
    query = select(Label.image_id, *(getattr(Label, name) for name in ANNOTATION_COLUMNS))
    query = query.where(id_range.covers(Label.image_id), Label.target.in_(targets))
    annotations: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for image, *values in connection.execute(query.order_by(Label.image_id, Label.id)):
        annotations[image].append(dict(zip(ANNOTATION_COLUMNS, values, strict=True)))
    return annotations
