"""Review queues: which photographs to review, in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, true

from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, SightingRecord
from lightmeter.labels.annotations.audit import read_label_issues
from lightmeter.labels.annotations.model import read_annotations, resolve_conflicts
from lightmeter.labels.annotations.photo_facts import decodable
from lightmeter.labels.datasets.crops import Crop, crop_for
from lightmeter.project import Project

QueueKind = Literal["all", "unjudged", "no-face", "disagreements", "label-issues"]

_NO_LABEL: dict[str, Any] = {"label": None, "origin": None}
_TOLERANCE = 1.1  # ratio of two values of one setting that rounding explains


@dataclass(frozen=True)
class Queue:
    """Photographs to review, in the order of their ids.

    Attributes:
        target: Name of the target.
        total: Number of photographs.
        ids: Image ids, ascending, shape (total,); None for all photographs.
    """

    target: str
    total: int
    ids: NDArray[np.int64] | None = None

    def page(self, connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
        """Return the photographs after an id, with their effective labels.

        Args:
            connection: Catalogue connection.
            after: Last id of the previous page; 0 for the first page.
            limit: Maximum number of photographs.

        Returns:
            For each photograph ``id``, ``sha256``, ``label`` and ``origin``.
        """
        query = select(Image.id, Image.sha256).where(Image.id > after, Image.problem.is_(None))
        if self.ids is not None:
            start = np.searchsorted(self.ids, after, side="right")
            query = query.where(Image.id.in_(self.ids[start : start + limit].tolist()))
        rows = [row._asdict() for row in connection.execute(query.order_by(Image.id).limit(limit))]
        labels = effective_labels(connection, [row["id"] for row in rows], self.target)
        return [{**row, **labels[row["id"]]} for row in rows]


def build_queue(
    connection: Connection,
    project: Project,
    target: str,
    *,
    kind: QueueKind = "all",
    where: str = "",
    sample: int | None = None,
    seed: int = 0,
) -> Queue:
    """Return the photographs that match now; labels set later do not remove them.

    Args:
        connection: Catalogue connection.
        project: The project.
        target: Name of the target.
        kind: ``all``; ``unjudged`` (no manual label, or only labels that were removed); ``no-face`` (the faces filter
            detected none and none was drawn manually); ``disagreements`` (EXIF of file and source differ);
            ``label-issues`` (of the last audit).
        where: Query that selects photographs (default: all).
        sample: Size of a random sample.
        seed: Random seed of the sample.

    Raises:
        UsageError: The query is invalid, or the target was not audited.
    """
    conditions = _conditions(target, crop_for("face", project.settings))
    if kind == "all" and not where.strip() and sample is None:
        return Queue(target, connection.scalar(select(func.count(Image.id)).where(decodable())) or 0)
    query = select(Image.id).where(decodable(where), conditions[kind])
    ids = np.asarray(connection.scalars(query).all(), dtype=np.int64)
    if kind == "label-issues":
        ids = np.intersect1d(ids, read_label_issues(project, target))
    if sample is not None and sample < len(ids):
        ids = np.random.default_rng(seed).choice(np.sort(ids), sample, replace=False)
    return Queue(target, len(ids), np.sort(ids))


def effective_labels(connection: Connection, ids: Sequence[int], target: str) -> dict[int, dict[str, Any]]:
    """Return ``label`` and ``origin`` of the effective annotation of each image, None without one."""
    labels: dict[int, dict[str, Any]] = dict.fromkeys(ids, _NO_LABEL)
    annotations = resolve_conflicts(read_annotations(connection, Label.image_id.in_(ids), [target])) if ids else {}
    for (image, _), annotation in annotations.items():
        labels[image] = {"label": annotation.value, "origin": annotation.origin}
    return labels


def _conditions(target: str, face: Crop) -> dict[QueueKind, ColumnElement[bool]]:
    later = Label.__table__.alias("later")
    is_later = later.c.id > Label.id
    same = [later.c[name] == getattr(Label, name) for name in ("image_id", "target", "origin", "author")]
    manual = exists().where(
        Label.image_id == Image.id,
        Label.target == target,
        Label.origin == MANUAL,
        Label.value.is_not(None),
        ~exists().where(*same, is_later).correlate(Label),
    )
    inspected = exists().where(Inspection.image_id == Image.id, Inspection.filter == "faces")
    has_face = exists().where(Region.image_id == Image.id, face.condition)
    return {
        "all": true(),
        "unjudged": ~manual.correlate(Image),
        "no-face": and_(inspected.correlate(Image), ~has_face.correlate(Image)),
        "disagreements": _disagreements(),
        "label-issues": true(),
    }


def _disagreements() -> ColumnElement[bool]:
    """Return the condition that a setting in the file's EXIF differs from the source's by more than rounding."""
    file, source = Exif.__table__.alias("file"), Exif.__table__.alias("source")
    sighting = SightingRecord.__table__.alias("sighting")
    differences: list[ColumnElement[bool]] = [
        or_(file.c[name] > source.c[name] * _TOLERANCE, file.c[name] * _TOLERANCE < source.c[name])
        for name in ("f_number", "exposure_time_s", "iso", "focal_length_mm")
    ]
    differences += [file.c[name] != source.c[name] for name in ("make", "model")]
    any_difference = case(*((difference, 1) for difference in differences), else_=0) == 1  # null compares as equal
    return (
        exists()
        .where(
            sighting.c.image_id == Image.id,
            source.c.sighting_id == sighting.c.id,
            file.c.image_id == Image.id,
            file.c.origin == "file",
            any_difference,
        )
        .correlate(Image)
    )
