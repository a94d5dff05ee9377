"""Review queues: which photographs to review."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, true

from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, Region, SightingRecord
from lightmeter.labels.annotations.audit import read_label_issues
from lightmeter.labels.annotations.photo_facts import decodable
from lightmeter.labels.datasets.crops import Crop, crop_for
from lightmeter.project import Project

QueueKind = Literal["all", "unjudged", "no-face", "disagreements", "label-issues"]

_TOLERANCE = 1.1  # ratio of two values of one setting that rounding explains


def queue_ids(
    connection: Connection,
    project: Project,
    target: str,
    *,
    kind: QueueKind = "all",
    where: str = "",
) -> NDArray[np.int64]:
    """Return the ids of the photographs that are in a queue now, in ascending order.

    Args:
        connection: Catalogue connection.
        project: The project.
        target: Name of the target.
        kind: ``all``; ``unjudged`` (no manual label, or only labels that were removed); ``no-face`` (the faces filter
            detected none and none was drawn manually); ``disagreements`` (EXIF of file and source differ);
            ``label-issues`` (of the last audit).
        where: Query that selects photographs (default: all).

    Raises:
        UsageError: The query is invalid, or the target was not audited.
    """
    conditions = _conditions(target, crop_for("face", project.settings))
    query = select(Image.id).where(decodable(where), conditions[kind])
    ids = np.sort(np.asarray(connection.scalars(query).all(), dtype=np.int64))
    return np.intersect1d(ids, read_label_issues(project, target)) if kind == "label-issues" else ids


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
