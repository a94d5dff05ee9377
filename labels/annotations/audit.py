"""Audit labels: contradictions, similar photographs with different labels, and labels that a model disputes."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.harvest.catalogue.models import Label
from lightmeter.labels.annotations.label_issues import IssueScores
from lightmeter.labels.annotations.model import Annotation, read_annotations
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.annotations.photo_names import names_of
from lightmeter.labels.annotations.rules import decisions
from lightmeter.labels.datasets.collect import LabelledPhotos, collect
from lightmeter.labels.datasets.splits.groups import near_duplicates
from lightmeter.labels.targets.base import Target
from lightmeter.project import Project
from lightmeter.text.documents import read_json
from lightmeter.text.names import name_key

_SETTINGS = ("make", "model", "f_number", "exposure_time_s", "iso", "focal_length_mm", "focal_length_35mm")
_MAX_MISSING_SETTINGS = 2

Reason = tuple[int, str]
"""Image id, and why its label may be wrong."""


@dataclass
class LabelIssue:
    """A label that may be wrong.

    Attributes:
        image_id: Primary key of the image.
        sha256: SHA-256 of the image.
        file: File name of the photograph at its source, or its id there.
        label: The effective label.
        reasons: Why it may be wrong.
        score: 1 - the probability that a model predicts for the label; None if no model disputes it.
    """

    image_id: int
    sha256: str
    file: str
    label: str
    reasons: list[str] = field(default_factory=list)
    score: float | None = None


def audit(engine: Engine, target: Target[Any], scores: IssueScores, where: str = "") -> list[LabelIssue]:
    """Return label issues, those with the most reasons first.

    Args:
        engine: Catalogue engine.
        target: The target.
        scores: Label issues found by a model; labels that have changed since are ignored.
        where: Query that selects photographs (default: all).
    """
    with engine.connect() as connection:
        photos = collect(connection, [target], where)
        reasons: defaultdict[int, list[str]] = defaultdict(list)
        for check in (
            _contradictions(connection, target, where),
            _scans_with_exposure(photos, target),
            _identical_settings(photos, target),
            _near_duplicates(photos, target),
        ):
            for image, reason in check:
                reasons[image].append(reason)
    issues = []
    rows = zip(photos.column("sha256"), photos.column("image_id"), photos.labels(target), strict=True)
    for sha256, image, label in rows:
        score = scores.get((sha256, str(label)))
        disputed = [] if score is None else [f"disputed by a model (score {score:.2f})"]
        if image in reasons or disputed:
            issues.append(LabelIssue(image, sha256, "", str(label), reasons[image] + disputed, score))
    with engine.connect() as connection:
        names = names_of(connection, [issue.sha256 for issue in issues])
    for issue in issues:
        issue.file = names.get(issue.sha256, "")
    return sorted(issues, key=lambda issue: (-len(issue.reasons), -(issue.score or 0.0), issue.image_id))


def write_label_issues(project: Project, target: str, issues: Sequence[LabelIssue]) -> None:
    """Store the label issues of a target until its next audit, so that they can be reviewed."""
    write_atomic(_issues_file(project, target), json.dumps([vars(issue) for issue in issues], indent=1))


def read_label_issues(project: Project, target: str) -> list[int]:
    """Return the image ids of the last audit of a target.

    Raises:
        UsageError: The target was not audited.
    """
    file = _issues_file(project, target)
    if not file.is_file():
        raise UsageError(f"No audit of target {target}; run 'lightmeter labels audit {target}' first.")
    try:
        return [int(issue["image_id"]) for issue in read_json(file)]
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{file} is damaged; run 'lightmeter labels audit {target}' again.") from error


def _issues_file(project: Project, target: str) -> Path:
    return project.state / "audit" / f"{target}.json"


def _contradictions(connection: Connection, target: Target[Any], where: str) -> Iterator[Reason]:
    """Yield photographs whose manual, imported and current rule labels differ."""
    for id_range in id_ranges(connection, where):
        newest: defaultdict[int, dict[tuple[str, str], Annotation]] = defaultdict(dict)
        for annotation in read_annotations(connection, id_range.covers(Label.image_id), [target.name]):
            newest[annotation.image_id][annotation.origin, annotation.author] = annotation
        rule = {facts.image_id: decision.value for facts, _, decision in decisions(connection, id_range, [target])}
        for image, annotations in newest.items():
            values = {key: a.value for key, a in annotations.items() if a.value and a.origin != "rule"}
            if value := rule.get(image):
                values["rule", ""] = value
            if len(set(values.values())) > 1:
                labels = ", ".join(f"{' '.join(source).strip()}: {value}" for source, value in sorted(values.items()))
                yield image, f"contradiction ({labels})"


def _scans_with_exposure(photos: LabelledPhotos, target: Target[Any]) -> Iterator[Reason]:
    """Yield film photographs with an exposure time in EXIF, which digital cameras write and scanners do not."""
    scanned_class = getattr(target.definition, "scanned_class", None)
    times = photos.column("exposure_time_s")
    for image, label, seconds in zip(photos.column("image_id"), photos.labels(target), times, strict=True):
        if label is not None and label == scanned_class and seconds is not None:
            yield image, f"{scanned_class} with an exposure time of {seconds:.4g} s in EXIF"


def _identical_settings(photos: LabelledPhotos, target: Target[Any]) -> Iterator[Reason]:
    """Yield photographs of one photographer with identical settings and different labels."""
    rows = zip(photos.column("owners"), *(photos.column(name) for name in _SETTINGS), strict=True)
    keys = [
        (name_key(owners[0]), *settings) if owners and settings.count(None) <= _MAX_MISSING_SETTINGS else None
        for owners, *settings in rows
    ]
    yield from _different_labels(photos, target, keys, "identical settings as")


def _near_duplicates(photos: LabelledPhotos, target: Target[Any]) -> Iterator[Reason]:
    """Yield near-duplicates with different labels."""
    rows, groups = near_duplicates(photos.table["phash"])
    group_of_row = dict(zip(rows.tolist(), groups.tolist(), strict=True))
    yield from _different_labels(
        photos, target, [group_of_row.get(row) for row in range(len(photos))], "near-duplicate of"
    )


def _different_labels(
    photos: LabelledPhotos, target: Target[Any], keys: Sequence[object], relation: str
) -> Iterator[Reason]:
    """Yield the members of each group with different labels; photographs with the same key are a group."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            groups[key].append(row)
    labels, hashes, images = photos.labels(target), photos.column("sha256"), photos.column("image_id")
    for group in groups.values():
        first_rows: dict[str | None, int] = {}
        for row in group:
            first_rows.setdefault(labels[row], row)
        if len(first_rows) > 1:
            first, second, *_ = first_rows.values()
            for row in group:
                other = second if labels[row] == labels[first] else first
                yield images[row], f"{relation} {hashes[other][:12]}, labelled {labels[other]}"
