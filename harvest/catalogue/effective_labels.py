"""The effective label of a photograph, in SQL; `labels.annotations.model.resolve_conflicts` states the same rule."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select
from sqlalchemy.orm import aliased

from lightmeter.harvest.catalogue.database.session import among, distinct_values
from lightmeter.harvest.catalogue.models import Image, Label

MANUAL = "manual"
"""Origin of manual annotations."""

LABEL_PRECEDENCE = (MANUAL, "import", "rule", "model")
"""Origins of annotations; the first that has a label determines the effective one."""

_BY_PEOPLE = (MANUAL, "import")
_Later = aliased(Label)
_RANK = case({origin: rank for rank, origin in enumerate(LABEL_PRECEDENCE)}, value=Label.origin)


def effective_label(target: str, origin: str | None = None) -> ColumnElement[Any]:
    """Return the effective label of an image as a column, for queries on the table ``images``.

    For each author only the newest annotation counts; among authors the precedence is `LABEL_PRECEDENCE`, and within
    one origin the newest annotation is effective.

    Args:
        target: Name of the target.
        origin: Only annotations of this origin (default: all).
    """
    query = select(Label.value).where(Label.image_id == Image.id, Label.target == target, _counts())
    query = query.where(Label.origin == origin) if origin else query
    return query.order_by(_RANK, Label.id.desc()).limit(1).correlate(Image).scalar_subquery()


def read_effective_labels(
    connection: Connection, images: Sequence[int], targets: Collection[str]
) -> dict[int, dict[str, str]]:
    """Return the effective labels of images, by image id and target.

    Args:
        connection: Catalogue connection.
        images: Image ids, at most some thousands.
        targets: Names of targets.
    """
    if not targets:
        return {}
    query = select(Label.image_id, Label.target, Label.value).where(_counts())
    query = query.where(among(connection, Label.image_id, images), Label.target.in_(targets)).order_by(
        _RANK.desc(), Label.id
    )
    labels: dict[int, dict[str, str]] = {}
    for image, target, value in connection.execute(query):  # the effective label of an image comes last
        labels.setdefault(image, {})[target] = str(value)
    return labels


def authors_disagree(target: str) -> ColumnElement[bool]:
    """Return the condition that two authors have given an image different labels, for queries on ``images``."""
    by_people = select(Label.image_id).where(Label.target == target, Label.origin.in_(_BY_PEOPLE), _counts())
    return Image.id.in_(by_people.group_by(Label.image_id).having(func.count(Label.value.distinct()) > 1))


def labelled_by(target: str, author: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a person has labelled an image, for queries on ``images``.

    Args:
        target: Name of the target.
        author: Condition on the author of a label.
    """
    by_people = select(Label.image_id).where(Label.target == target, Label.origin.in_(_BY_PEOPLE), _counts())
    return Image.id.in_(by_people.where(author))


def labelled_targets(connection: Connection) -> list[str]:
    """Return the names of the targets that have labels, in alphabetical order."""
    return distinct_values(connection, Label.target)


def _counts() -> ColumnElement[bool]:
    """Return the condition that an annotation is a label that its author has neither changed nor removed since."""
    same = and_(*(getattr(_Later, name) == getattr(Label, name) for name in ("image_id", "target", "origin", "author")))
    return and_(Label.value.is_not(None), ~exists().where(same, _Later.id > Label.id).correlate(Label))
