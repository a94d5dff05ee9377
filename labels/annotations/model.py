"""Labels in the catalogue: statements that are added and never changed, and which of them counts."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, select

from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.ingest import copy_rows
from lightmeter.harvest.catalogue.models import Label

LABEL_PRECEDENCE = ("hand", "import", "rule", "model")
"""Where a label can come from; an earlier one beats a later one."""


class Annotation(NamedTuple):
    """One statement about one image.

    Attributes:
        value: the class; None takes back what the same author said before.
    """

    image_id: int
    target: str
    value: str | None
    number: float | None
    origin: str
    author: str
    version: str | None


_COLUMNS = pa.schema(
    [
        ("image_id", pa.int64()),
        ("target", pa.string()),
        ("value", pa.string()),
        ("number", pa.float64()),
        ("origin", pa.string()),
        ("author", pa.string()),
        ("version", pa.string()),
    ]
)


def read(
    connection: Connection, about: ColumnElement[bool], targets: Collection[str], origin: str | None = None
) -> list[Annotation]:
    """Return statements, oldest first.

    Args:
        connection: to the catalogue.
        about: the condition on the table ``labels`` that says which images.
        targets: of these alone.
        origin: of this one alone, if given.
    """
    query = select(*(getattr(Label, column) for column in Annotation._fields)).where(about, Label.target.in_(targets))
    if origin is not None:
        query = query.where(Label.origin == origin)
    return [Annotation(*row) for row in connection.execute(query.order_by(Label.created_at, Label.id))]


def effective_annotations(connection: Connection, about: ColumnElement[bool], targets: Collection[str]) -> pa.Table:
    """Return the statements that count, as columns; those of one target are in the order of their images.

    Args:
        connection: to the catalogue.
        about: the condition on the table ``labels`` that says which images.
        targets: of these alone.
    """
    query = select(*(getattr(Label, column) for column in Annotation._fields)).where(about, Label.target.in_(targets))
    said = read_table(connection, query.order_by(Label.target, Label.image_id, Label.created_at, Label.id), _COLUMNS)
    if not said.num_rows:
        return said
    image, target = said["image_id"].to_numpy(), said["target"].combine_chunks().dictionary_encode().indices.to_numpy()
    again = (image[1:] == image[:-1]) & (target[1:] == target[:-1])
    disputed = np.r_[False, again] | np.r_[again, False]  # most images have one statement: there is nothing to resolve
    alone = said.filter(pc.and_(pa.array(~disputed), pc.is_valid(said["value"])))
    if not disputed.any():
        return alone
    counting = resolve_conflicts(Annotation(**row) for row in said.filter(pa.array(disputed)).to_pylist())
    resolved = pa.Table.from_pylist([one._asdict() for one in counting.values()], _COLUMNS)
    return pa.concat_tables([alone, resolved]).sort_by([("target", "ascending"), ("image_id", "ascending")])


def resolve_conflicts(statements: Iterable[Annotation]) -> dict[tuple[int, str], Annotation]:
    """Return the statement that counts for each image and target.

    Of each author the newest word holds, and None takes the earlier ones back. Hand beats import beats rule beats
    model; among equals the newest counts.

    Args:
        statements: oldest first.
    """
    newest: dict[tuple[int, str, str, str], Annotation] = {}
    for one in statements:
        key = (one.image_id, one.target, one.origin, one.author)
        newest.pop(key, None)  # so that the order is that of the newest words
        newest[key] = one
    counts: dict[tuple[int, str], Annotation] = {}
    for one in newest.values():
        if one.value is None:
            continue
        place = (one.image_id, one.target)
        rival = counts.get(place)
        if rival is None or LABEL_PRECEDENCE.index(one.origin) <= LABEL_PRECEDENCE.index(rival.origin):
            counts[place] = one
    return counts


def insert(connection: Connection, statements: Collection[Annotation]) -> None:
    """Write statements, stamped with the time."""
    now = datetime.now(UTC)
    copy_rows(connection, Label, [_row(one, now) for one in statements])


def _row(one: Annotation, now: datetime) -> Mapping[str, Any]:
    return {**one._asdict(), "created_at": now}
