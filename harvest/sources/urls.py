"""Photographs in a list of URLs: text, CSV, TSV or Parquet."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from lightmeter.errors import UsageError
from lightmeter.harvest.dates import parse_time
from lightmeter.harvest.sources.base import (
    Argument,
    Cursor,
    DatedQuery,
    InputFile,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    Unreadable,
)
from lightmeter.harvest.sources.photo_metadata import as_list, as_text, items_with_checkpoints
from lightmeter.harvest.sources.text_files import Row, canonical_column, read_lines, read_table

_URL_COLUMNS = ("media_url", "url", "image_url", "link")
_LICENCE_COLUMNS = ("licence", "license")
_TEXT_COLUMNS = ("page_url", "file", "owner", "attribution", "title")
_LIST_COLUMNS = ("tags", "concepts")
_EXIF_PREFIX = "exif."
_BATCH_SIZE = 500


class Urls(Source):
    """Reads a list; columns named like attributes of `Sighting` fill them."""

    name = "urls"
    summary = "photographs at the addresses in a text, CSV or Parquet file"

    class Query(DatedQuery):
        """Harvest the URLs in a file."""

        file: InputFile = Argument("Text file with one URL per line, .csv, .tsv or .parquet.")
        column: str | None = Option(None, "Column with the URLs (default: media_url, url, image_url or link).")
        medium: Medium | None = Option(None, "Medium for rows that do not specify one.")
        assume_licence: str | None = Option(None, "Default licence for rows without one.")

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield a photograph for each row."""
        rows = _rows(query)
        convert = partial(_item, query=query)
        return items_with_checkpoints(rows, convert, cursor, location=str(query.file), every=_BATCH_SIZE)


def _rows(query: Any) -> Iterator[Row | Unreadable]:
    """Yield the rows of a list.

    Raises:
        UsageError: The list cannot be read.
    """
    file: Path = query.file
    try:
        match file.suffix.lower():
            case ".csv" | ".tsv":
                yield from read_table(file, (query.column,) if query.column else _URL_COLUMNS)
            case ".parquet":
                yield from _read_parquet(file)
            case _:
                yield from ({"url": line} for line in read_lines(file) if not line.startswith("#"))
    except (OSError, ValueError) as error:
        raise UsageError(f"The list {file} cannot be read: {error}.") from error


def _read_parquet(file: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH_SIZE):
            for row in batch.to_pylist():
                yield {canonical_column(name): value for name, value in row.items()}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _item(row: Row, query: Any) -> Sighting:
    url = _url(row, query)
    exif = {
        name.removeprefix(_EXIF_PREFIX): value
        for name, value in row.items()
        if name.startswith(_EXIF_PREFIX) and as_text(value)
    }
    used = {*_URL_COLUMNS, *_LICENCE_COLUMNS, *_TEXT_COLUMNS, *_LIST_COLUMNS, "source_id", "medium", "published_at"}
    medium = (as_text(row.get("medium")) or "").lower()
    texts: dict[str, Any] = {name: as_text(row.get(name)) for name in _TEXT_COLUMNS}
    return Sighting(
        source_id=as_text(row.get("source_id")) or url,
        media_url=url,
        licence=next((text for name in _LICENCE_COLUMNS if (text := as_text(row.get(name)))), query.assume_licence),
        tags=_split_list(row.get("tags")),
        concepts=_split_list(row.get("concepts")),
        medium=cast("Medium", medium) if medium in get_args(Medium) else query.medium,
        published_at=parse_time(row.get("published_at")),
        exif=exif or None,
        exif_origin="sidecar",
        metadata={
            name: value
            for name, value in row.items()
            if name not in used | {query.column} | {_EXIF_PREFIX + tag for tag in exif} and value not in (None, "")
        },
        **texts,
    )


def _url(row: Row, query: Any) -> str:
    """Return the URL in a row.

    Raises:
        UsageError: There is no column for URLs.
        ValueError: The row has none.
    """
    columns = (canonical_column(query.column),) if query.column else _URL_COLUMNS
    if not any(name in row for name in columns):
        raise UsageError(
            f"{query.file} has no column {' or '.join(columns)}; name the column of the URLs with --column."
        )
    url = next((text for name in columns if (text := as_text(row.get(name)))), None)
    if url is None:
        raise ValueError("the row has no address")
    return url


def _split_list(value: Any) -> tuple[str, ...]:
    """Return the values of a list column; in CSV they are separated by ``|`` or ``;``."""
    parts = value.replace("|", ";").split(";") if isinstance(value, str) else as_list(value)
    return tuple(text for part in parts if (text := as_text(part)))
