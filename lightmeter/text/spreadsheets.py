"""CSV for spreadsheets, which run text that begins like a formula.

Such text is written with an apostrophe before it, in every CSV file of strangers' texts, and without it read again. An
apostrophe before text that looks quoted already is doubled, so that reading gives what was written.
"""

import csv
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TextIO

FORMULA = "^(['\\t\\n\\r \\x{00a0}\\x{feff}]*[=+\\-@\\t\\n\\r\\x{ff1d}\\x{ff0b}\\x{ff0d}\\x{ff20}])"
"""Regular expression (RE2) of the beginning of a formula, also behind blanks and in full-width characters."""

_FORMULA = re.compile(re.sub(r"\\x\{(\w{4})\}", r"\\u\1", FORMULA))


_DELIMITERS = ",;\t"


class Header(NamedTuple):
    """The header of a table.

    Attributes:
        columns: Names of the columns; known ones as they are known.
        delimiter: What separates them.
        lines: Number of lines that were read.
    """

    columns: list[str]
    delimiter: str
    lines: int


def read_header(table: TextIO, known: Collection[str]) -> Header:
    """Read the header of a CSV table whose columns are separated by commas, semicolons or tabs.

    Spreadsheets write one or the other, depending on the language. The one that gives the most known columns is taken.
    Case, blanks around names, and blanks or underscores instead of hyphens in them do not matter.

    Args:
        table: The table at its beginning.
        known: Names of columns.
    """
    line, lines = table.readline(), 1
    if line.lower().startswith("sep="):  # a note for Excel
        line, lines = table.readline(), 2
    best = Header([], ",", lines)
    spellings = {name.replace("_", "-"): name for name in known}
    for delimiter in _DELIMITERS:
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        names = [spellings.get(name.replace(" ", "-").replace("_", "-"), name) for name in names]
        if len({*names} & {*known}) > len({*best.columns} & {*known}):
            best = Header(names, delimiter, lines)
    return best


def quote_cell(value: object) -> object:
    """Return a cell with an apostrophe before text that spreadsheets take for a formula.

    Example:
        >>> quote_cell("=1+1"), quote_cell("'=1"), quote_cell("a=1"), quote_cell(-1)
        ("'=1+1", "''=1", 'a=1', -1)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unquote_cell(text: str) -> str:
    """Return what `quote_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def quote_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with `quote_cell` applied to each cell."""
    return {name: quote_cell(value) for name, value in row.items()}
