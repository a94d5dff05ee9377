"""Annotations as CSV: one row each, with the complete history of every photograph."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.labels.annotations.model import ANNOTATION_COLUMNS, PhotoAnnotations
from lightmeter.text.spreadsheets import quote_row, unquote_cell

COLUMNS = ("sha256", "file", *ANNOTATION_COLUMNS, "removed")
"""Columns of a CSV file."""

_REQUIRED = ("sha256", "target", "value")
_DELIMITERS = ",;\t"


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
                removed = "true" if annotation["value"] is None else ""
                values = {**annotation, "created_at": annotation["created_at"].isoformat(), "removed": removed}
                writer.writerow(quote_row({"sha256": photo.sha256, "file": photo.file, **values}))
            count += len(photo.annotations)
    return count


def read_csv(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a CSV file with their line numbers; cells are unquoted (see `lightmeter.text.spreadsheets`).

    Columns are separated by commas, semicolons or tabs, as spreadsheets write them in different languages.

    Raises:
        UsageError: The file is not a CSV file in UTF-8, or has no column ``sha256``, ``target`` or ``value``.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            header, n_lines = lines.readline(), 1
            if header.lower().startswith("sep="):  # a note for Excel
                header, n_lines = lines.readline(), 2
            columns, delimiter = _columns(header)
            missing = [name for name in _REQUIRED if name not in columns]
            if missing:
                raise UsageError(f"{file} has no column {', '.join(missing)}.")
            reader = csv.DictReader(lines, columns, delimiter=delimiter)
            for row in reader:
                yield (
                    reader.line_num + n_lines,
                    {key: unquote_cell(value) for key, value in row.items() if key in COLUMNS and value is not None},
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is not a CSV file in UTF-8 ({error}).") from error


def _columns(header: str) -> tuple[list[str], str]:
    """Return the names of the columns and their delimiter, the one that gives the most columns that are known."""
    best: tuple[list[str], str] = ([], ",")
    for delimiter in _DELIMITERS:
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
        if len({*names} & {*COLUMNS}) > len({*best[0]} & {*COLUMNS}):
            best = names, delimiter
    return best
