"""Edit what the catalogue stores about the origin of photographs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, Engine, select, update

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.models import Image, SightingRecord
from lightmeter.harvest.licences import normalise_licence
from lightmeter.harvest.sources.base import Medium
from lightmeter.plugins import unknown_name_message

EDITABLE = ("owner", "licence", "medium", "attribution", "title")
"""Columns of a sighting that a person can edit."""

_BATCH = 500


def parse_changes(assignments: Sequence[str]) -> dict[str, str | None]:
    """Return the new values of ``NAME=VALUE`` texts; an empty value deletes.

    Raises:
        UsageError: A name is unknown, or a value is invalid.
    """
    changes: dict[str, str | None] = {}
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        if not sign:
            raise UsageError(f"'{assignment}' is not a change; write NAME=VALUE, for example owner=Ann.")
        if name not in EDITABLE:
            raise UsageError(unknown_name_message("field", name, EDITABLE))
        changes[name] = _value(name, text.strip())
    return changes


def edit(engine: Engine, where: ColumnElement[bool], changes: Mapping[str, str | None]) -> int:
    """Change all sightings of photographs; later harvests do not change these values again.

    Args:
        engine: Catalogue engine.
        where: Condition on images.
        changes: New values by column of `EDITABLE`.

    Returns:
        Number of photographs.
    """
    return write(engine, lambda connection: _edit(connection, where, changes))


def _edit(connection: Connection, where: ColumnElement[bool], changes: Mapping[str, str | None]) -> int:
    images = connection.scalars(select(Image.id).where(where).order_by(Image.id)).all()
    for start in range(0, len(images), _BATCH):
        query = select(SightingRecord.id, SightingRecord.edited)
        groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for row in connection.execute(query.where(SightingRecord.image_id.in_(images[start : start + _BATCH]))):
            groups[tuple(sorted({*(row.edited or ()), *changes}))].append(row.id)
        for edited, ids in groups.items():
            values: dict[str, Any] = {**changes, "edited": list(edited)}
            connection.execute(update(SightingRecord).where(SightingRecord.id.in_(ids)).values(values))
    return len(images)


def _value(name: str, text: str) -> str | None:
    if name == "medium" and text and text not in get_args(Medium):
        raise UsageError(f"'{text}' is not a medium; write film, digital, or nothing.")
    if not text.isprintable():
        raise UsageError(f"The new {name} has control characters.")
    return (normalise_licence(text) if name == "licence" else text) or None
