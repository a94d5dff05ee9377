"""Tables for programs: CSV, TSV, Parquet, XLSX and JSON Lines, written row by row in bounded memory."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.export.columns import Column
from lightmeter.harvest.catalogue.export.rows import Rows
from lightmeter.text.spreadsheets import quote_cell

_ARROW_TYPES = {str: pa.string(), float: pa.float64(), bool: pa.bool_(), int: pa.int64()}
_MAX_XLSX_ROWS = 1_048_575  # and one for the heading
_MAX_XLSX_COLUMNS = 16_384
_MAX_XLSX_TEXT = 32_767


def write_csv(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write comma-separated values; texts that spreadsheets take for formulas are quoted."""
    _write_separated(path, columns, batches, ",")


def write_tsv(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write tab-separated values, otherwise as `write_csv`."""
    _write_separated(path, columns, batches, "\t")


def write_json_lines(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write one JSON object per line; missing values are null."""
    with path.open("w", encoding="utf-8") as file:
        for row in _rows(batches):
            file.write(json.dumps({column.name: column.value(row) for column in columns}, ensure_ascii=False) + "\n")


def write_parquet(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write Parquet, one row group per batch."""
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in columns])
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            arrays = [
                pa.array([_typed(column.value(row), column.type) for row in batch], field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_xlsx(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write an Excel workbook with one sheet, row by row.

    Texts are never formulas or links. Texts that would become formulas when they are edited have Excel's quote prefix.

    Raises:
        UsageError: Excel cannot hold so many rows or columns.
    """
    import xlsxwriter

    if len(columns) > _MAX_XLSX_COLUMNS:
        raise UsageError(f"An .xlsx file holds at most {_MAX_XLSX_COLUMNS:,} columns; choose some with --columns.")
    workbook = xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_formulas": False})
    with workbook:
        sheet = workbook.add_worksheet("Photographs")
        heading, quoted = workbook.add_format({"bold": True}), workbook.add_format({"quote_prefix": True})
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, min(40, max(10, len(column.name) + 2)))
        for index, column in enumerate(columns):
            sheet.write_string(0, index, column.name, heading)
        for number, row in enumerate(_rows(batches), start=1):
            if number > _MAX_XLSX_ROWS:
                raise UsageError(
                    f"An .xlsx file holds at most {_MAX_XLSX_ROWS:,} rows; write .csv or .parquet, or use --where."
                )
            for index, column in enumerate(columns):
                _write_cell(sheet, number, index, column.value(row), quoted)


def _write_cell(sheet: Any, row: int, column: int, value: object, quoted: Any) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value)
    elif isinstance(value, str):
        text = value if len(value) <= _MAX_XLSX_TEXT else f"{value[: _MAX_XLSX_TEXT - 1]}…"
        sheet.write_string(row, column, text, quoted if quote_cell(text) != text else None)


def _write_separated(path: Path, columns: Sequence[Column], batches: Iterable[Rows], delimiter: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([column.name for column in columns])
        for row in _rows(batches):
            writer.writerow([quote_cell(column.value(row)) for column in columns])


def _rows(batches: Iterable[Rows]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch


def _typed(value: Any, expected: type) -> Any:
    """Return a value in the column's type; measures of older filters may have another one."""
    if value is None or isinstance(value, expected):
        return value
    if expected is str:
        return str(value)
    return float(value) if expected is float and isinstance(value, int) else None
