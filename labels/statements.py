"""Labels in the catalogue: statements that are added and never changed, and which of them counts."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from harvest.catalogue.tables import Label
from labels.evidence import Span

ORIGINS = ("hand", "import", "rule", "model")
"""Where a label can come from; an earlier one beats a later one."""


class Statement(NamedTuple):
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


def read(connection: Connection, span: Span, targets: Collection[str], origin: str | None = None) -> list[Statement]:
    """Return the statements about a span's images, oldest first."""
    query = select(*(getattr(Label, column) for column in Statement._fields)).where(
        Label.target.in_(targets), span.holds(Label.image_id)
    )
    if origin is not None:
        query = query.where(Label.origin == origin)
    return [Statement(*row) for row in connection.execute(query.order_by(Label.id))]


def resolve(statements: Iterable[Statement]) -> dict[tuple[int, str], Statement]:
    """Return the statement that counts for each image and target.

    Of each author the newest word holds, and None takes the earlier ones back. Hand beats import beats rule beats
    model; among equals the newest counts.

    Args:
        statements: oldest first.
    """
    newest: dict[tuple[int, str, str, str], Statement] = {}
    for one in statements:
        key = (one.image_id, one.target, one.origin, one.author)
        newest.pop(key, None)  # so that the order is that of the newest words
        newest[key] = one
    counts: dict[tuple[int, str], Statement] = {}
    for one in newest.values():
        if one.value is None:
            continue
        place = (one.image_id, one.target)
        rival = counts.get(place)
        if rival is None or ORIGINS.index(one.origin) <= ORIGINS.index(rival.origin):
            counts[place] = one
    return counts


def add(connection: Connection, statements: Collection[Statement]) -> None:
    """Write statements, stamped with the time."""
    if statements:
        now = datetime.now(UTC)
        connection.execute(insert(Label), [_row(one, now) for one in statements])


def _row(one: Statement, now: datetime) -> Mapping[str, Any]:
    return {**one._asdict(), "created_at": now}
