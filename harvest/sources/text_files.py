"""Text files of strangers: tables and lists of lines, in any encoding, with any separator."""

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from lightmeter.harvest.sources.base import Unreadable

Row = Mapping[str, Any]
"""Values of a table's row by column."""

_SEPARATORS = (",", ";", "\t", "|")
_MAX_CELL_LENGTH = 1 << 24
_HEAD_BYTES = 1000
_UTF_16_SHARE = 0.4  # of zero bytes in text of Latin letters
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_table(file: Path, wanted: Sequence[str]) -> Iterator[Row | Unreadable]:
    """Yield the rows of a table with a header (CSV), and the rows that cannot be read; empty rows are skipped.

    Args:
        file: The table; its separator is a comma, a semicolon, a tab or a vertical bar.
        wanted: Columns of which one should exist, by which the separator is recognised.
    """
    lines = _decoded_lines(file)
    header = next((line for line in lines if line.strip()), "")
    separator = None
    if header[:4].lower() == "sep=":  # of Excel
        separator, header = header[4:5], next(lines, "")
    separator = separator or _separator_of(header, {canonical_column(name) for name in wanted})
    csv.field_size_limit(_MAX_CELL_LENGTH)
    reader = csv.reader(chain([header], lines), delimiter=separator)
    columns = [canonical_column(name) for name in next(reader, [])]
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = "a cell is too long" if "limit" in str(error) else "the row is not CSV"
            yield Unreadable(f"{file}, row {first}", reason)
            continue
        if any(cell.strip() for cell in cells):
            yield _row(columns, cells)


def read_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a text file without surrounding blanks; empty ones are skipped."""
    return (line.strip() for line in _decoded_lines(file) if line.strip())


def canonical_column(name: object) -> str:
    """Return the name of a column without blanks, in lower case: ``Media_URL`` becomes ``media_url``."""
    return str(name).strip().lower()


def _row(columns: Iterable[str], cells: Iterable[str]) -> Row:
    """Return a row; of columns with the same name the first that has a value counts."""
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=False):
        if name and not row.get(name):
            row[name] = cell
    return row | {name: "" for name in columns if name and name not in row}


def _separator_of(header: str, wanted: set[str]) -> str:
    """Return the separator with which a header has a wanted column, or else the most columns."""

    def score(separator: str) -> tuple[bool, int]:
        columns = next(csv.reader([header], delimiter=separator), [])
        return not wanted.isdisjoint(map(canonical_column, columns)), len(columns)

    return max(_SEPARATORS, key=score)


def _decoded_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a file with any line ends; what is not UTF-8 is read as Windows-1252, line by line."""
    encoding = _encoding_of(file)
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    with file.open(encoding=encoding, errors=errors) as lines:
        for line in lines:
            yield line if encoding != "utf-8-sig" or line.isascii() else _without_escapes(line)


def _without_escapes(line: str) -> str:
    data = line.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _encoding_of(file: Path) -> str:
    """Return the encoding by the byte order mark, or by the zero bytes of UTF-16."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = head[start::2]
        if half and half.count(0) > _UTF_16_SHARE * 2 * len(half):
            return encoding
    return "utf-8-sig"
