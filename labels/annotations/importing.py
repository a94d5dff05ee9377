"""Import annotations into the catalogue, so that importing a file again changes nothing."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations.csv_io import read_csv
from lightmeter.labels.annotations.label_studio import read_label_studio
from lightmeter.labels.annotations.model import read_annotations, resolve_conflicts
from lightmeter.labels.annotations.photo_names import NameMatch, find_photographs
from lightmeter.labels.annotations.rows import ParsedFile
from lightmeter.labels.targets.base import Target

_BATCH = 500
_SHOWN_FILES = 3
_HASH = re.compile(r"[0-9a-f]{64}")

Key = tuple[int, str, str, str]
"""Image id, target, origin and author: each annotation replaces the previous one with the same key."""
NumberedLabel = tuple[int, dict[str, Any]]


@dataclass
class ImportResult:
    """Result of an import.

    Attributes:
        added: Number of annotations added, removals included.
        removed: Number of removals among them: the author takes back an earlier label.
        existing: Number of annotations that the catalogue already had: with the same time, or without a time and equal
            to the newest of their author.
        unknown_photographs: Number of rows about photographs that are not in the catalogue.
        unknown: Names of these photographs.
        matched: Number of photographs by how the file names them: ``sha256``, ``source id``, ``file`` or ``similar
            file`` (another case, or without a suffix).
        empty: Number of rows without a class, which were ignored.
        skipped: Number of annotations that an annotator skipped in Label Studio.
        ignored: Number of values by column or control of Label Studio, of those that are no target.
        refused: Number and reason of each invalid row.
        changes: Effective labels that differ afterwards: ``sha256``, ``target``, ``before`` and ``after``.
    """

    added: int = 0
    removed: int = 0
    existing: int = 0
    unknown_photographs: int = 0
    unknown: list[str] = field(default_factory=list)
    matched: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    skipped: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)


def import_labels(
    engine: Engine,
    file: Path,
    targets: Mapping[str, Target[Any]],
    author: str,
    *,
    remove_empty: bool = False,
    dry_run: bool = False,
) -> ImportResult:
    """Add the annotations of a CSV or Label Studio file; invalid rows are refused, all others added.

    Rows without origin, author or time get ``import``, the given author and the current time.

    Args:
        engine: Catalogue engine.
        file: A ``.csv`` or ``.json`` file.
        targets: Targets by name.
        author: Author of rows without one.
        remove_empty: Take a row without a class as the removal of its author's label.
        dry_run: Change nothing.

    Raises:
        UsageError: The file is not a file of annotations.
    """
    parsed = ParsedFile()
    match file.suffix.lower():
        case ".csv" | ".tsv":
            rows: Iterable[tuple[int, dict[str, Any]]] = read_csv(file, targets, parsed)
        case ".json":
            rows = read_label_studio(file, targets, parsed)
        case _:
            raise UsageError(f"{file} is neither .csv or .tsv nor .json (Label Studio).")
    rows = list(rows)
    result = ImportResult(empty=parsed.empty, skipped=parsed.skipped, ignored=parsed.ignored)
    names = {str(values["sha256"]).strip() for _, values in rows}
    matches = read(engine, lambda connection: find_photographs(connection, names))
    for number, values in _with_hashes(rows, matches, parsed, result):
        parsed.add(number, values, targets, author, remove_empty=remove_empty)
    labels = _without_contradictions(parsed)

    def work(connection: Connection) -> ImportResult:
        outcome = replace(result, empty=parsed.empty, changes=[])
        outcome.refused = [{"row": number, "reason": reason} for number, reason in sorted(parsed.refused)]
        for start in range(0, len(labels), _BATCH):
            _insert(connection, labels[start : start + _BATCH], outcome)
        if dry_run:
            connection.rollback()
        return outcome

    return write(engine, work)


def _with_hashes(
    rows: Iterable[tuple[int, dict[str, Any]]],
    matches: Mapping[str, NameMatch],
    parsed: ParsedFile,
    result: ImportResult,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows with the SHA-256 of the photograph that each names; ambiguous names are refused."""
    counted = set()
    for number, values in rows:
        name = str(values["sha256"]).strip()
        match = matches.get(name)
        if name not in counted:
            counted.add(name)
            if match is not None and len(match.photographs) == 1:
                result.matched[match.by] += 1
            elif match is None and (name in parsed.names or _HASH.fullmatch(name.lower())):
                result.unknown.append(name)
        if match is None:
            if name in parsed.names:
                result.unknown_photographs += 1
            else:
                yield number, values
        elif len(match.photographs) > 1:
            files = ", ".join(sorted(match.photographs.values())[:_SHOWN_FILES])
            parsed.refused.append(
                (number, f"'{name}' is the name of {len(match.photographs)} photographs ({files}); add their folder.")
            )
        else:
            yield number, {**values, "sha256": next(iter(match.photographs))}


def _without_contradictions(parsed: ParsedFile) -> list[NumberedLabel]:
    """Return the rows of a file, of those without a time only the last about a photograph by an author."""
    last: dict[tuple[object, ...], NumberedLabel] = {}
    for number, label in parsed.rows:
        if label["created_at"] is None:
            last[_file_key(label)] = number, label
    labels = []
    for number, label in parsed.rows:
        last_number, other = last.get(_file_key(label), (number, label))
        if label["created_at"] is None and other["value"] != label["value"]:
            parsed.refused.append((number, f"Row {last_number} has another class; only one can be the newest."))
        else:
            labels.append((number, label))
    return labels


def _file_key(label: Mapping[str, Any]) -> tuple[object, ...]:
    return label["sha256"], label["target"], label["origin"], label["author"]


def _insert(connection: Connection, labels: Sequence[NumberedLabel], result: ImportResult) -> None:
    """Insert the labels of a batch that the catalogue does not have, and update the result."""
    hashes = {label["sha256"] for _, label in labels}
    images: dict[str, int] = dict(
        connection.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(hashes))).all()
    )
    names = sorted({label["target"] for _, label in labels})
    before = _effective(connection, images, names)
    log = _Log(connection, images.values())
    new = []
    for _, label in labels:
        image = images.get(label["sha256"])
        if image is None:
            result.unknown_photographs += 1
            continue
        row = {"image_id": image, **{name: value for name, value in label.items() if name != "sha256"}}
        created_at = log.add(row)
        if created_at is None:
            result.existing += 1
        else:
            new.append({**row, "created_at": created_at})
    insert_rows(connection, Label, new)
    result.added += len(new)
    result.removed += sum(row["value"] is None for row in new)
    result.changes += _differences(before, _effective(connection, images, names), images)


class _Log:
    """The annotations of some photographs: which are there already, and the newest by image, target, origin and author.

    Args:
        connection: Catalogue connection.
        images: Image ids.
    """

    def __init__(self, connection: Connection, images: Iterable[int]) -> None:
        self._now = datetime.now(UTC)
        self._timed: set[tuple[object, ...]] = set()
        self._newest: dict[Key, str | None] = {}
        columns = (Label.image_id, Label.target, Label.origin, Label.author, Label.created_at, Label.value)
        query = select(*columns).where(Label.image_id.in_(list(images))).order_by(Label.id)
        for image, target, origin, author, created_at, value in connection.execute(query):
            self._remember((image, target, origin, author), created_at, value)

    def add(self, row: Mapping[str, Any]) -> datetime | None:
        """Add an annotation, and return its time, which is never in the future; None if the catalogue has it."""
        key = (row["image_id"], row["target"], row["origin"], row["author"])
        created_at: datetime | None = row["created_at"]
        if created_at and (*key, created_at, row["value"]) in self._timed:
            return None
        if created_at is None or created_at > self._now:
            if self._newest.get(key) == row["value"]:
                return None
            created_at = self._now
        self._remember(key, created_at, row["value"])
        return created_at

    def _remember(self, key: Key, created_at: datetime, value: str | None) -> None:
        self._timed.add((*key, created_at, value))
        self._newest[key] = value


def _effective(
    connection: Connection, images: Mapping[str, int], targets: Sequence[str]
) -> dict[tuple[int, str], str | None]:
    annotations = read_annotations(connection, Label.image_id.in_(list(images.values())), targets)
    return {key: annotation.value for key, annotation in resolve_conflicts(annotations).items()}


def _differences(
    before: Mapping[tuple[int, str], str | None], after: Mapping[tuple[int, str], str | None], images: Mapping[str, int]
) -> list[dict[str, Any]]:
    hashes = {image: sha256 for sha256, image in images.items()}
    return [
        {"sha256": hashes[key[0]], "target": key[1], "before": before.get(key), "after": after.get(key)}
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
