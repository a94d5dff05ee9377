"""Review queues: which photographs to review; `all` and `unjudged` need no query."""

from typing import Any, Literal

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, or_, select

from lightmeter.harvest.catalogue.models import Exif, Region, SightingRecord
from lightmeter.labels.annotations.audit import read_label_issues
from lightmeter.labels.browser.columns import Mask, Photographs
from lightmeter.labels.browser.facts import image_ids
from lightmeter.labels.datasets.crops import crop_for
from lightmeter.project import Project

QueueKind = Literal["all", "unjudged", "no-face", "disagreements", "label-issues"]

_TOLERANCE = 1.1  # ratio of two values of one setting that rounding explains


def queue_mask(
    connection: Connection, project: Project, photographs: Photographs, target: str, *, kind: QueueKind
) -> Mask:
    """Return which photographs are in a queue now.

    Args:
        connection: Catalogue connection.
        project: The project.
        photographs: The photographs.
        target: Name of the target.
        kind: ``no-face`` (the faces filter detected none and none was drawn manually); ``disagreements`` (EXIF of file
            and source differ); ``label-issues`` (of the last audit).

    Raises:
        UsageError: The target was not audited.
    """
    match kind:
        case "label-issues":
            return photographs.mask_of(read_label_issues(project, target))
        case "no-face":
            inspected = photographs.columns.get("filter.faces")
            faces = select(Region.image_id).where(crop_for("face", project.settings).condition)
            with_face = photographs.mask_of(image_ids(connection, faces))
            return (inspected.codes >= 0) & ~with_face if inspected else np.zeros_like(with_face)
        case _:
            return photographs.mask_of(image_ids(connection, _disagreements()))


def _disagreements() -> Select[Any]:
    """Return the query of the images of which a setting in the file differs from the source's by more than rounding."""
    file, source = Exif.__table__.alias("file"), Exif.__table__.alias("source")
    sighting = SightingRecord.__table__.alias("sighting")
    differences: list[ColumnElement[bool]] = [
        or_(file.c[name] > source.c[name] * _TOLERANCE, file.c[name] * _TOLERANCE < source.c[name])
        for name in ("f_number", "exposure_time_s", "iso", "focal_length_mm")
    ]
    differences += [file.c[name] != source.c[name] for name in ("make", "model")]
    return (
        select(sighting.c.image_id)
        .join(source, source.c.sighting_id == sighting.c.id)
        .join(file, (file.c.image_id == sighting.c.image_id) & (file.c.origin == "file"))
        .where(source.c.sighting_id.is_not(None), or_(*differences))
    )
