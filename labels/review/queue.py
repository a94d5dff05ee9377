"""Which photographs are judged, page by page."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select, true

from harvest.catalogue.resolve import resolved_exif
from harvest.catalogue.tables import Exif, Image, Inspection, Label, Region, Sighting
from harvest.catalogue.where import parse_where
from labels import statements
from labels.crops import Crop, crop_for
from labels.review.boxes import Box, Size, seen_size, to_seen
from labels.suspects import read_suspects
from labels.targets.base import classes_in
from lightmeter.errors import UsageError
from lightmeter.plugins import unknown
from lightmeter.project import Project

_EXIF = (
    "make", "model", "lens", "software", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm",
    "flash_fired", "taken_at", "orientation",
)  # fmt: skip


SUSPECTS = "suspects"
_NO_LABEL = {"label": None, "origin": None}


@dataclass(frozen=True)
class Queue:
    """Photographs that wait to be judged, in the order of their ids.

    Attributes:
        target: what is judged.
        condition: what holds for them.
        ids: the only ones that are meant, ascending; None for all for which the condition holds.
    """

    target: str
    condition: ColumnElement[bool]
    ids: Sequence[int] | None = None

    def page(self, connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
        """Return the photographs that follow an id.

        Args:
            connection: to the catalogue.
            after: the last id of the page before; 0 for the first page.
            limit: the most photographs.
        """
        query = select(Image.id, Image.sha256).where(Image.id > after).order_by(Image.id).limit(limit)
        if self.ids is None:
            query = query.where(self.condition)
        else:
            start = bisect_right(self.ids, after)
            query = query.where(Image.id.in_(self.ids[start : start + limit]))
        rows = [row._asdict() for row in connection.execute(query)]
        labels = _labels(connection, [row["id"] for row in rows], self.target)
        return [{**row, **labels.get(row["id"], _NO_LABEL)} for row in rows]


def chosen_queue(
    connection: Connection,
    project: Project,
    target: str,
    *,
    kind: str = "all",
    where: str = "",
    sample: int | None = None,
    seed: int = 0,
) -> Queue:
    """Return a queue.

    Args:
        connection: to the catalogue.
        project: whose audit found suspects.
        target: what is judged.
        kind: ``all``; ``unjudged`` (without a label by hand); ``no-face`` (the filter looked for faces and found none,
            and nobody drew one); ``disagreements`` (file and source say different things); ``suspects`` (of the last
            audit).
        where: a query.
        sample: so many of them, drawn at random.
        seed: another seed, another sample.

    Raises:
        UsageError: if kind or query is wrong, or there was no audit.
    """
    kinds = _kinds(target, crop_for("face", project.settings))
    if kind not in (*kinds, SUSPECTS):
        raise UsageError(unknown("queue", kind, [*kinds, SUSPECTS]))
    chosen = parse_where(where) if where.strip() else true()
    condition = and_(Image.problem.is_(None), chosen, kinds.get(kind, true()))
    if kind != SUSPECTS and sample is None:
        return Queue(target, condition)
    ids = set(connection.scalars(select(Image.id).where(condition)))
    if kind == SUSPECTS:
        ids &= set(read_suspects(project, target))
    drawn = sorted(ids) if sample is None else random.Random(seed).sample(sorted(ids), min(sample, len(ids)))
    return Queue(target, condition, sorted(drawn))


def _kinds(target: str, face: Crop) -> dict[str, ColumnElement[bool]]:
    judged = exists().where(Label.image_id == Image.id, Label.target == target, Label.origin == "hand")
    looked = exists().where(Inspection.image_id == Image.id, Inspection.filter == "faces")
    found = exists().where(Region.image_id == Image.id, face.counts)
    return {
        "all": true(),
        "unjudged": ~judged.correlate(Image),
        "no-face": and_(looked.correlate(Image), ~found.correlate(Image)),
        "disagreements": _disagreements(),
    }


def _disagreements() -> ColumnElement[bool]:
    """Return the condition that the file's EXIF and the source's differ in a setting by more than rounding."""
    of_file, of_source = Exif.__table__.alias("of_file"), Exif.__table__.alias("of_source")
    seen = Sighting.__table__.alias("seen")
    differ: list[ColumnElement[bool]] = [
        (of_file.c[name] > of_source.c[name] * 1.1) | (of_file.c[name] * 1.1 < of_source.c[name])
        for name in ("f_number", "exposure_time_s", "iso", "focal_length_mm")
    ]
    differ += [of_file.c[name] != of_source.c[name] for name in ("make", "model")]
    either = case(*((one, 1) for one in differ), else_=0) == 1
    return (
        exists()
        .where(
            seen.c.image_id == Image.id,
            of_source.c.sighting_id == seen.c.id,
            of_file.c.image_id == Image.id,
            of_file.c.origin == "file",
            either,
        )
        .correlate(Image)
    )


def classes_in_use(connection: Connection, target: str) -> list[str]:
    """Return the classes that labels of a target name, the commonest first: those of a target with open classes."""
    query = select(Label.value, func.count()).where(Label.target == target, Label.value.is_not(None))
    counted: Counter[str] = Counter()
    for value, number in connection.execute(query.group_by(Label.value)):
        counted.update(dict.fromkeys(classes_in(str(value)), number))
    return sorted(counted, key=lambda name: (-counted[name], name))


def _labels(connection: Connection, ids: Sequence[int], target: str) -> dict[int, dict[str, Any]]:
    if not ids:
        return {}
    found = statements.resolve(statements.read(connection, Label.image_id.in_(ids), [target]))
    return {image: {"label": one.value, "origin": one.origin} for (image, _), one in found.items()}


def details(connection: Connection, image: int, target: str) -> dict[str, Any]:
    """Return all that the page shows of one photograph: EXIF, name, label, and its boxes as they are seen.

    Raises:
        UsageError: if there is no such photograph.
    """
    query = select(Image.id, Image.sha256, Image.width, Image.height).where(Image.id == image)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UsageError("There is no such photograph.")
    exif = resolved_exif(connection, image, image, _EXIF).get(image, {})
    orientation = exif.pop("orientation", None) or 1
    stored = Size(row.width, row.height)
    seen = connection.execute(
        select(Sighting.file, Sighting.owner, Sighting.source, Sighting.page_url).where(Sighting.image_id == image)
    ).first()
    boxes = select(Region.id, Region.kind, Region.origin, Region.x, Region.y, Region.width, Region.height)
    return {
        "id": image,
        "sha256": row.sha256,
        **_labels(connection, [image], target).get(image, _NO_LABEL),
        "exif": {name: value for name, value in exif.items() if value is not None},
        "seen": seen._asdict() if seen else {},
        "size": seen_size(stored, orientation)._asdict(),
        "boxes": [
            {"id": number, "kind": kind, "origin": origin, **to_seen(Box(*box), stored, orientation)._asdict()}
            for number, kind, origin, *box in connection.execute(boxes.where(Region.image_id == image))
        ],
    }
