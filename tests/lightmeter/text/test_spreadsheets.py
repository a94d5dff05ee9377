"""Cells of CSV files that spreadsheets would run."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.text.spreadsheets import FORMULA, quote_cell, unquote_cell

CELLS = st.text("'=+-@\t\r\n \u00a0\ufeff\uff1d\uff0b\uff0d\uff20a1\u1234", max_size=6)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1dHYPERLINK(1)", "'=1", "\ufeff=cmd|' /C calc'!A0"],
)
def test_formulas_are_quoted(text: str) -> None:
    assert quote_cell(text) == f"'{text}"


def test_numbers_and_other_text_stay() -> None:
    cells = (-1, -0.5, None, True, "a=1", "'a'", "1-2", "", "José")
    assert tuple(map(quote_cell, cells)) == cells


@given(CELLS)
def test_reading_gives_what_was_written_and_arrow_quotes_alike(text: str) -> None:
    quoted = quote_cell(text)
    assert isinstance(quoted, str)
    assert unquote_cell(quoted) == text
    assert pc.replace_substring_regex(pa.array([text]), FORMULA, r"'\1")[0].as_py() == quoted
