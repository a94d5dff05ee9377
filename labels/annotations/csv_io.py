"""Annotations as CSV: one row each, with the complete history of every photograph."""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, output_path
from lightmeter.labels.annotations.model import ANNOTATION_COLUMNS, PhotoAnnotations
from lightmeter.labels.annotations.rows import ParsedFile
from lightmeter.plugins import unknown_name_message
from lightmeter.text.spreadsheets import quote_row, read_header, unquote_cell

COLUMNS = ("sha256", "file", *ANNOTATION_COLUMNS, "removed")
"""Columns of a CSV file."""

PHOTO_COLUMNS = ("sha256", "source_id", "file", "filename", "photo", "image")
"""Columns that can name the photograph of a row; the first that has a value does."""


def export_csv(photos: Iterable[PhotoAnnotations], file: Path) -> int:
    """Write the complete annotation history of photographs, one annotation per row.

    Args:
        photos: Photographs; see `annotations_by_photo`.
        file: File to write.

    Returns:
        The number of annotations.
    """
    count = 0
    with output_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        for photo in photos:
            for annotation in photo.annotations:
                removed = "true" if annotation["value"] is None else ""
                values = {**annotation, "created_at": annotation["created_at"].isoformat(), "removed": removed}
                writer.writerow(quote_row({"sha256": photo.sha256, "file": photo.file, **values}))
            count += len(photo.annotations)
    return count


def read_csv(file: Path, targets: Collection[str], parsed: ParsedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a CSV file with their line numbers; cells are unquoted (see `lightmeter.text.spreadsheets`).

    A table has the columns ``target`` and ``value``, or a column per target; then it gives a row per target. The name
    of the photograph is in ``sha256`` of the rows. Columns are separated by commas, semicolons or tabs, as spreadsheets
    write them in different languages.

    Args:
        file: The file.
        targets: Names of targets.
        parsed: Values of columns that are no target are counted here, and rows that do not fit the header refused.

    Raises:
        UsageError: The file is not a CSV file in UTF-8, or has no column of photographs or none of labels.
    """
    try:
        with io.TextIOWrapper(open_regular(file, follow=True), newline="", encoding="utf-8-sig") as lines:
            columns, delimiter, n_lines = read_header(lines, {*COLUMNS, *PHOTO_COLUMNS, *targets})
            wide = _check_columns(file, columns, targets)
            reader = csv.DictReader(lines, columns, delimiter=delimiter)
            for row in reader:
                surplus = [cell for cell in row.get(None) or () if cell.strip()]
                if surplus:  # a comma in a number, or a separator that is not quoted: no cell can be trusted
                    reason = f"The row has more cells than the header; quote cells that contain '{delimiter}'."
                    parsed.refused.append((reader.line_num + n_lines, reason))
                    continue
                cells = {key: unquote_cell(value) for key, value in row.items() if key and isinstance(value, str)}
                for values in _labels_of_row(cells, wide, targets, parsed):
                    yield reader.line_num + n_lines, values
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is not a CSV file in UTF-8 ({error}).") from error
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}.") from error


def _check_columns(file: Path, columns: Collection[str], targets: Collection[str]) -> bool:
    """Return whether a table has a column per target.

    Raises:
        UsageError: It has no column of photographs or none of labels, or a column twice.
    """
    recognised = {*COLUMNS, *PHOTO_COLUMNS, *targets}
    repeated = next((name for name, count in Counter(columns).items() if count > 1 and name in recognised), None)
    if repeated is not None:
        raise UsageError(f"{file} has more than one column {repeated}; remove or rename the others.")
    if not {*columns} & {*PHOTO_COLUMNS}:
        raise UsageError(f"{file} has no column that names photographs; call one file, source_id or sha256.")
    missing = [name for name in ("target", "value") if name not in columns]
    if missing and not {*columns} & {*targets}:
        others = [name for name in columns if name not in (*COLUMNS, *PHOTO_COLUMNS)]
        hint = f" {unknown_name_message('target', others[0], sorted(targets))}" if others else ""
        raise UsageError(
            f"{file} has no column {' and no column '.join(missing)}, and no column with the name of a target.{hint}"
        )
    return bool(missing)


def _labels_of_row(
    cells: Mapping[str, str], wide: bool, targets: Collection[str], parsed: ParsedFile
) -> Iterator[dict[str, Any]]:
    photo = next(((name, cells[name]) for name in PHOTO_COLUMNS if cells.get(name, "").strip()), ("sha256", ""))
    common = {name: value for name, value in cells.items() if name in COLUMNS}
    if photo[0] != "sha256":
        parsed.names.add(photo[1].strip())
    if not wide:
        yield {**common, "sha256": photo[1]}
        return
    for name, value in cells.items():
        if name in targets:
            yield {**common, "sha256": photo[1], "target": name, "value": value}
        elif name not in (*COLUMNS, *PHOTO_COLUMNS) and value.strip():
            parsed.ignored[name] += 1
