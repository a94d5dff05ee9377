"""Export annotations as CSV, and import them from CSV or Label Studio."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.harvest.catalogue.ingest import copy_rows
from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations.label_studio import read_label_studio
from lightmeter.labels.annotations.model import ANNOTATION_COLUMNS, LABEL_PRECEDENCE, PhotoAnnotations
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import unknown_name_message

COLUMNS = ("sha256", "file", *ANNOTATION_COLUMNS)
"""Columns of a CSV file."""

_BATCH = 500
_KEY = ("target", "value", "origin", "author", "created_at")
"""Columns that, with the image, identify an annotation that is already in the catalogue."""


@dataclass
class ImportResult:
    """Result of an import.

    Attributes:
        added: Number of annotations added.
        existing: Number of annotations that the catalogue already had, with the same author and time.
        unknown_photographs: Number of rows about photographs that are not in the catalogue.
    """

    added: int = 0
    existing: int = 0
    unknown_photographs: int = 0


def export_csv(photos: Iterable[PhotoAnnotations], file: Path) -> int:
    """Write the complete annotation history of photographs, one annotation per row.

    Args:
        photos: Photographs; see `annotations_by_photo`.
        file: File to write.

    Returns:
        The number of annotations.
    """
    count = 0
    with atomic_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        for photo in photos:
            for annotation in photo.annotations:
                time = annotation["created_at"].isoformat()
                writer.writerow({"sha256": photo.sha256, "file": photo.file, **annotation, "created_at": time})
            count += len(photo.annotations)
    return count


def import_labels(engine: Engine, file: Path, targets: Mapping[str, Target[Any]], author: str) -> ImportResult:
    """Add the annotations of a CSV or Label Studio file, all of them or none.

    Rows without origin, author or time get ``import``, the given author and the current time.

    Args:
        engine: Catalogue engine.
        file: A ``.csv`` or ``.json`` file.
        targets: Targets by name.
        author: Author of rows without one.

    Raises:
        UsageError: The file is invalid; the message names the row.
    """
    read = {".csv": _read_csv, ".json": read_label_studio}.get(file.suffix.lower())
    if read is None:
        raise UsageError(f"{file} is neither .csv nor .json (Label Studio).")
    defaults = {"origin": "import", "author": author, "created_at": datetime.now(UTC).isoformat()}
    rows = []
    for number, row in read(file):
        values = {key: str(value) for key, value in row.items() if value is not None and value != ""}
        try:
            rows.append(_to_label(defaults | values, targets))
        except (UsageError, ValueError) as error:
            raise UsageError(f"{file}, row {number}: {error}") from error
    result = ImportResult()
    with engine.begin() as connection:
        for start in range(0, len(rows), _BATCH):
            _insert(connection, rows[start : start + _BATCH], result)
    return result


def _read_csv(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as rows:
            reader = csv.DictReader(rows)
            missing = {"sha256", "target", "value"} - set(reader.fieldnames or ())
            if missing:
                raise UsageError(f"{file} has no column {', '.join(sorted(missing))}.")
            for row in reader:
                yield reader.line_num, {key: value for key, value in row.items() if key in COLUMNS}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is not a CSV file in UTF-8 ({error}).") from error


def _to_label(row: Mapping[str, str], targets: Mapping[str, Target[Any]]) -> dict[str, Any]:
    """Return a row of the table ``labels``, with the SHA-256 instead of the image id.

    Args:
        row: The values of a file's row that are not empty.
        targets: Targets by name.

    Raises:
        UsageError: Target, class or origin is unknown.
        ValueError: A number or the time is malformed.
    """
    target = targets.get(row.get("target", ""))
    if target is None:
        raise UsageError(unknown_name_message("target", row.get("target", ""), list(targets)))
    if row["origin"] not in LABEL_PRECEDENCE:
        raise UsageError(unknown_name_message("origin", row["origin"], list(LABEL_PRECEDENCE)))
    value = target.parse_value(row["value"]) if "value" in row else None
    created_at = datetime.fromisoformat(row["created_at"])
    return {
        "sha256": row.get("sha256"),
        "target": target.name,
        "value": value,
        "number": float(row["number"]) if "number" in row else target.number_of(value),
        "origin": row["origin"],
        "author": row["author"],
        "version": row.get("version"),
        "confidence": float(row["confidence"]) if "confidence" in row else None,
        "created_at": created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
    }


def _insert(connection: Connection, rows: list[dict[str, Any]], result: ImportResult) -> None:
    hashes = {row["sha256"] for row in rows}
    images: dict[str, int] = dict(
        connection.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(hashes))).all()
    )
    columns = [getattr(Label, name) for name in _KEY]
    query = select(Label.image_id, *columns).where(Label.image_id.in_(images.values()))
    existing = {tuple(row) for row in connection.execute(query)}
    new = []
    for row in rows:
        image = images.get(row.pop("sha256"))
        key = (image, *(row[name] for name in _KEY))
        result.unknown_photographs += image is None
        result.existing += key in existing
        if image is not None and key not in existing:
            existing.add(key)
            new.append({"image_id": image, **row})
    result.added += len(new)
    copy_rows(connection, Label, new)
