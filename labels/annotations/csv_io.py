"""Labels to and from other programs: CSV and Label Studio's JSON, with their whole history."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.harvest.catalogue.ingest import copy_rows
from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations.history import ANNOTATION_COLUMNS, annotations_by_photo
from lightmeter.labels.annotations.label_studio import read_label_studio
from lightmeter.labels.annotations.model import LABEL_PRECEDENCE
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import unknown_name_message

COLUMNS = ("sha256", "file", *ANNOTATION_COLUMNS)
"""The columns of a CSV file."""

_NUMBERS = ("number", "confidence")
_BATCH = 500


@dataclass
class Imported:
    """What an import did.

    Attributes:
        added: statements written.
        known: statements that the catalogue had already, with the same author and time.
        strangers: rows about photographs that the catalogue does not have.
    """

    added: int = 0
    known: int = 0
    strangers: int = 0


def export_csv(connection: Connection, file: Path, targets: Sequence[str], where: str = "") -> int:
    """Write every statement about some targets, one a row, and return their number.

    Args:
        connection: to the catalogue.
        file: to write.
        targets: whose labels.
        where: a query that chooses photographs; empty for all.
    """
    count = 0
    with atomic_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        for history in annotations_by_photo(connection, targets, where):
            known = {"sha256": history.sha256, "file": history.file}
            writer.writerows(
                {**known, **said, "created_at": said["created_at"].isoformat()} for said in history.statements
            )
            count += len(history.statements)
    return count


def import_labels(engine: Engine, file: Path, targets: Mapping[str, Target[Any]], who: str) -> Imported:
    """Add the statements of a CSV or Label Studio file, all of them or none.

    Rows that name no origin, author or time get ``import``, the given author and now.

    Args:
        engine: of the catalogue.
        file: ``.csv`` or ``.json``.
        targets: by name.
        who: the author of rows that name none.

    Raises:
        UsageError: if the file is wrong; the sentence names the row.
    """
    read = {".csv": _read_csv, ".json": read_label_studio}.get(file.suffix.lower())
    if read is None:
        raise UsageError(f"{file} is neither .csv nor .json (Label Studio).")
    now = datetime.now(UTC)
    rows = [_checked(file, number, row, targets, who, now) for number, row in read(file)]
    outcome = Imported()
    with engine.begin() as connection:
        for start in range(0, len(rows), _BATCH):
            _add(connection, rows[start : start + _BATCH], outcome)
    return outcome


def _read_csv(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as rows:
            reader = csv.DictReader(rows)
            missing = {"sha256", "target", "value"} - set(reader.fieldnames or ())
            if missing:
                raise UsageError(f"{file} has no column {' and no column '.join(sorted(missing))}.")
            for row in reader:
                yield reader.line_num, {key: value or None for key, value in row.items() if key in COLUMNS}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is no CSV file in UTF-8 ({error}).") from error


def _checked(
    file: Path, number: int, row: dict[str, Any], targets: Mapping[str, Target[Any]], who: str, now: datetime
) -> dict[str, Any]:
    """Return a row as the table ``labels`` has it, with the photograph's hash.

    Raises:
        UsageError: if a value in it is wrong.
    """
    where = f"{file}, row {number}"
    target = targets.get(row["target"] or "")
    if target is None:
        raise UsageError(f"{where}: {unknown_name_message('target', str(row['target']), list(targets))}")
    try:
        value = None if row["value"] is None else target.parse_value(str(row["value"]))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    origin = row.get("origin") or "import"
    if origin not in LABEL_PRECEDENCE:
        raise UsageError(f"{where}: {unknown_name_message('origin', origin, list(LABEL_PRECEDENCE))}")
    try:
        numbers = {key: float(row[key]) if row.get(key) is not None else None for key in _NUMBERS}
        created_at = datetime.fromisoformat(row["created_at"]) if row.get("created_at") else now
    except ValueError as error:
        raise UsageError(f"{where}: {error}.") from error
    return {
        "sha256": row["sha256"],
        "target": target.name,
        "value": value,
        "number": numbers["number"] if numbers["number"] is not None else target.number_of(value),
        "origin": origin,
        "author": row.get("author") or who,
        "version": row.get("version"),
        "confidence": numbers["confidence"],
        "created_at": created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
    }


def _add(connection: Connection, rows: list[dict[str, Any]], outcome: Imported) -> None:
    hashes = {row["sha256"] for row in rows}
    found = connection.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(hashes)))
    images: dict[str, int] = dict(found.all())
    known = {
        tuple(row)
        for row in connection.execute(
            select(Label.image_id, Label.target, Label.value, Label.origin, Label.author, Label.created_at).where(
                Label.image_id.in_(images.values())
            )
        )
    }
    new = []
    for row in rows:
        image = images.get(row.pop("sha256"))
        key = (image, *(row[name] for name in ("target", "value", "origin", "author", "created_at")))
        outcome.strangers += image is None
        outcome.known += key in known
        if image is not None and key not in known:
            known.add(key)
            new.append({"image_id": image, **row})
    outcome.added += len(new)
    copy_rows(connection, Label, new)
