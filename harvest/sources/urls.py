"""Photographs in a list of URLs: text, CSV, TSV or Parquet."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    InputFile,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
)
from lightmeter.harvest.sources.photo_metadata import items_with_checkpoints, parse_time

_URL_COLUMNS = ("media_url", "url", "image_url", "link")
_LICENCE_COLUMNS = ("licence", "license")
_TEXT_COLUMNS = ("page_url", "file", "owner", "attribution", "title")
_LIST_COLUMNS = ("tags", "concepts")
_EXIF_PREFIX = "exif."
_BATCH_SIZE = 500

Row = Mapping[str, Any]


class Urls(Source):
    """Reads a list; columns named like attributes of `Sighting` fill them."""

    name = "urls"
    summary = "photographs at the addresses in a text, CSV or Parquet file"

    class Query(SourceQuery):
        """Harvest the URLs in a file."""

        file: InputFile = Argument("Text file with one URL per line, .csv, .tsv or .parquet.")
        column: str | None = Option(None, "Column with the URLs (default: media_url, url, image_url or link).")
        medium: Medium | None = Option(None, "Medium for rows that do not specify one.")
        assume_licence: str | None = Option(None, "Default licence for rows without one.")

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Sighting | Checkpoint]:
        """Yield a photograph for each row."""
        return items_with_checkpoints(_rows(query.file), partial(_item, query=query), cursor, every=_BATCH_SIZE)


def _rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a list.

    Raises:
        UsageError: The list cannot be read.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
    try:
        yield from readers.get(file.suffix.lower(), _read_text)(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UsageError(f"The list {file} cannot be read: {error}.") from error


def _read_text(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                yield {"url": line.strip()}


def _read_csv(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")


def _read_parquet(file: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH_SIZE):
        yield from batch.to_pylist()


def _item(row: Row, query: Any) -> Sighting | None:
    url = _url(row, query)
    if not url:
        return None
    values = {name: value for name, value in row.items() if _is_scalar(name, value)}
    exif = {name.removeprefix(_EXIF_PREFIX): value for name, value in values.items() if name.startswith(_EXIF_PREFIX)}
    used = {*_URL_COLUMNS, *_LICENCE_COLUMNS, *_TEXT_COLUMNS, *_LIST_COLUMNS, query.column}
    used |= {"source_id", "medium", "published_at"} | {_EXIF_PREFIX + name for name in exif}
    texts: dict[str, Any] = {name: str(row[name]) for name in _TEXT_COLUMNS if row.get(name)}
    licence = next((row[name] for name in _LICENCE_COLUMNS if row.get(name)), query.assume_licence)
    return Sighting(
        source_id=str(row.get("source_id") or url),
        media_url=url,
        licence=str(licence) if licence else None,
        tags=_split_list(row.get("tags")),
        concepts=_split_list(row.get("concepts")),
        medium=row["medium"] if row.get("medium") in {"film", "digital"} else query.medium,
        published_at=parse_time(row.get("published_at")),
        exif=exif or None,
        exif_origin="sidecar",
        metadata={name: value for name, value in values.items() if name not in used},
        **texts,
    )


def _url(row: Row, query: Any) -> str:
    """Return the URL in a row; empty if the row has none.

    Raises:
        UsageError: There is no column for URLs.
    """
    columns = (query.column,) if query.column else _URL_COLUMNS
    column = next((name for name in columns if name in row), None)
    if column is None:
        raise UsageError(
            f"{query.file} has no column {' or '.join(columns)}; name the column of the URLs with --column."
        )
    return str(row[column] or "").strip()


def _is_scalar(name: Any, value: Any) -> bool:
    """Return whether a cell has a name and a value; extra CSV cells have no name."""
    return isinstance(name, str) and isinstance(value, str | int | float) and value != ""


def _split_list(value: Any) -> tuple[str, ...]:
    """Return the values of a list column; in CSV they are separated by ``|`` or ``;``."""
    parts: Iterable[Any] = str(value).replace("|", ";").split(";") if isinstance(value, str) else value or ()
    return tuple(str(part).strip() for part in parts if str(part).strip())
