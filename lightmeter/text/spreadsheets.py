"""CSV for spreadsheets, which run text that begins like a formula.

Such text is written with an apostrophe before it, in every CSV file of strangers' texts, and without it read again. An
apostrophe before text that looks quoted already is doubled, so that reading gives what was written.
"""

import re
from collections.abc import Mapping
from typing import Any

FORMULA = "^(['\\t\\n\\r \\x{00a0}\\x{feff}]*[=+\\-@\\t\\n\\r\\x{ff1d}\\x{ff0b}\\x{ff0d}\\x{ff20}])"
"""Regular expression (RE2) of the beginning of a formula, also behind blanks and in full-width characters."""

_FORMULA = re.compile(re.sub(r"\\x\{(\w{4})\}", r"\\u\1", FORMULA))


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
