"""Which photographs are judged, page by page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select, true

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, Sighting
from lightmeter.harvest.catalogue.query.parser import parse_where
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.suspects import read_suspects
from lightmeter.labels.datasets.crops import Crop, crop_for
from lightmeter.labels.review.boxes import Size, seen_size
from lightmeter.labels.review.regions import orientation_of, seen_boxes
from lightmeter.labels.targets.base import split_classes
from lightmeter.plugins import unknown_name_message
from lightmeter.project import Project

_EXIF = (
    "make", "model", "lens", "software", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm",
    "flash_fired", "taken_at",
)  # fmt: skip


SUSPECTS = "suspects"
_NO_LABEL = {"label": None, "origin": None}


@dataclass(frozen=True)
class Queue:
    """Photographs that wait to be judged, in the order of their ids.

    Attributes:
        target: what is judged.
        total: how many there are.
        ids: those that are meant, ascending, shape (total,); None for all photographs.
    """

    target: str
    total: int
    ids: NDArray[np.int64] | None = None

    def page(self, connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
        """Return the photographs that follow an id.

        Args:
            connection: to the catalogue.
            after: the last id of the page before; 0 for the first page.
            limit: the most photographs.
        """
        query = select(Image.id, Image.sha256).where(Image.id > after, Image.problem.is_(None))
        if self.ids is not None:
            start = np.searchsorted(self.ids, after, side="right")
            query = query.where(Image.id.in_(self.ids[start : start + limit].tolist()))
        rows = [row._asdict() for row in connection.execute(query.order_by(Image.id).limit(limit))]
        labels = _labels(connection, [row["id"] for row in rows], self.target)
        return [{**row, **labels.get(row["id"], _NO_LABEL)} for row in rows]


def build_queue(
    connection: Connection,
    project: Project,
    target: str,
    *,
    kind: str = "all",
    where: str = "",
    sample: int | None = None,
    seed: int = 0,
) -> Queue:
    """Return a queue, as it is now: what is judged meanwhile stays in it.

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
        raise UsageError(unknown_name_message("queue", kind, [*kinds, SUSPECTS]))
    fine = Image.problem.is_(None)
    if kind == "all" and not where.strip() and sample is None:
        return Queue(target, connection.scalar(select(func.count(Image.id)).where(fine)) or 0)
    chosen = parse_where(where) if where.strip() else true()
    query = select(Image.id).where(fine, chosen, kinds.get(kind, true()))
    ids = np.asarray(connection.scalars(query).all(), dtype=np.int64)
    if kind == SUSPECTS:
        ids = np.intersect1d(ids, read_suspects(project, target))
    if sample is not None and sample < len(ids):
        ids = np.random.default_rng(seed).choice(np.sort(ids), sample, replace=False)
    return Queue(target, len(ids), np.sort(ids))


def _kinds(target: str, face: Crop) -> dict[str, ColumnElement[bool]]:
    judged = exists().where(Label.image_id == Image.id, Label.target == target, Label.origin == "hand")
    looked = exists().where(Inspection.image_id == Image.id, Inspection.filter == "faces")
    found = exists().where(Region.image_id == Image.id, face.condition)
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
        counted.update(dict.fromkeys(split_classes(str(value)), number))
    return sorted(counted, key=lambda name: (-counted[name], name))


def _labels(connection: Connection, ids: Sequence[int], target: str) -> dict[int, dict[str, Any]]:
    if not ids:
        return {}
    found = statements.resolve_conflicts(statements.read(connection, Label.image_id.in_(ids), [target]))
    return {image: {"label": one.value, "origin": one.origin} for (image, _), one in found.items()}


def _other_words(connection: Connection, image: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what sources say otherwise than the values that count, by name and origin: ``iso (api)``."""
    query = select(Exif.origin, *(getattr(Exif, name) for name in _EXIF))
    query = query.join(Sighting, Exif.sighting_id == Sighting.id).where(Sighting.image_id == image).order_by(Exif.id)
    return {
        f"{name} ({row.origin})": getattr(row, name)
        for row in connection.execute(query)
        for name in _EXIF
        if getattr(row, name) not in (None, known.get(name))
    }


def details(connection: Connection, image: int, target: str, crops: Mapping[str, Crop]) -> dict[str, Any]:
    """Return all that the page shows of one photograph: EXIF, name, label, and its boxes as they are seen.

    Args:
        connection: to the catalogue.
        image: of the photograph.
        target: what is judged.
        crops: by kind, which boxes count.

    Raises:
        UsageError: if there is no such photograph.
    """
    query = select(Image.id, Image.sha256, Image.width, Image.height).where(Image.id == image)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UsageError("There is no such photograph.")
    exif = resolved_exif(connection, image, image, _EXIF).get(image, {})
    known = {name: exif[name] for name in _EXIF if exif.get(name) is not None}
    stored = Size(row.width, row.height)
    seen = connection.execute(
        select(Sighting.file, Sighting.owner, Sighting.source, Sighting.page_url).where(Sighting.image_id == image)
    ).first()
    return {
        "id": image,
        "sha256": row.sha256,
        **_labels(connection, [image], target).get(image, _NO_LABEL),
        "exif": {**known, **_other_words(connection, image, known)},
        "seen": seen._asdict() if seen else {},
        "size": seen_size(stored, orientation_of(connection, image))._asdict(),
        "boxes": seen_boxes(connection, image, stored, crops),
    }
