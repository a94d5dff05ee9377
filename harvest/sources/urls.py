"""Photographs in a list of addresses: text, CSV or Parquet."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import field_validator

from lightmeter.errors import UsageError
from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Argument, Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery

_ADDRESS = ("media_url", "url", "image_url", "link")
_LICENCE = ("licence", "license")
_TEXTS = ("page_url", "file", "owner", "attribution", "title")
_LISTS = ("tags", "concepts")
_EXIF = "exif."
_ROWS_BETWEEN_CHECKPOINTS = 500

Row = Mapping[str, Any]


class Urls(Source):
    """Reads a list; a column that is named like something a photograph has says that of it."""

    name = "urls"
    summary = "photographs at the addresses in a text, CSV or Parquet file"

    class Query(SourceQuery):
        """The list."""

        file: Path = Argument("Text (an address a line), .csv, .tsv or .parquet.")
        column: str | None = Option(None, "Column of the addresses; media_url, url, image_url or link, if not given.")
        medium: Medium | None = Option(None, "How those were taken of which the list does not say it.")
        assume_licence: str | None = Option(None, "Licence of those for which the list gives none.")

        @field_validator("file")
        @classmethod
        def _is_file(cls, file: Path) -> Path:
            if not file.is_file():
                raise ValueError(f"{file} is not a file")
            return file.absolute()

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield a photograph for each row, with a checkpoint every few rows."""
        first = cursor["row"] if cursor else 0
        for number, row in enumerate(_rows(query.file)):
            if number < first:
                continue
            address = _address(row, query)
            if address:
                yield _sighting(row, address, query)
            if (number + 1) % _ROWS_BETWEEN_CHECKPOINTS == 0:
                yield Checkpoint({"row": number + 1})


def _rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a list.

    Raises:
        UsageError: if it cannot be read.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    try:
        yield from readers.get(file.suffix.lower(), _text)(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UsageError(f"The list {file} cannot be read: {error}.") from error


def _text(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                yield {"url": line.strip()}


def _csv(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")


def _parquet(file: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS_BETWEEN_CHECKPOINTS):
        yield from batch.to_pylist()


def _address(row: Row, query: Any) -> str:
    """Return the address in a row.

    Raises:
        UsageError: if there is no such column.
    """
    names = (query.column,) if query.column else _ADDRESS
    name = next((name for name in names if name in row), None)
    if name is None:
        wanted = " or ".join(names)
        raise UsageError(f"{query.file} has no column {wanted}; name the one of the addresses with --column.")
    return str(row[name] or "").strip()


def _sighting(row: Row, address: str, query: Any) -> PhotoItem:
    told: dict[str, Any] = {name: str(row[name]) for name in _TEXTS if row.get(name)}
    licence = next((row[name] for name in _LICENCE if row.get(name)), query.assume_licence)
    medium: Medium | None = row["medium"] if row.get("medium") in {"film", "digital"} else query.medium
    exif = {name.removeprefix(_EXIF): value for name, value in row.items() if _says(name, value, _EXIF)}
    used = {*_ADDRESS, *_LICENCE, *_TEXTS, *_LISTS, query.column, "source_id", "medium", "published_at"}
    rest = {name: value for name, value in row.items() if name not in used and _says(name, value)}
    return PhotoItem(
        source_id=str(row.get("source_id") or address),
        media_url=address,
        licence=licences.normalise(str(licence)) if licence else None,
        tags=_list(row.get("tags")),
        concepts=_list(row.get("concepts")),
        medium=medium,
        published_at=_moment(row.get("published_at")),
        exif=exif or None,
        exif_origin="sidecar",
        metadata={name: value for name, value in rest.items() if not name.startswith(_EXIF)},
        **told,
    )


def _says(name: Any, value: Any, prefix: str = "") -> bool:
    return isinstance(name, str) and name.startswith(prefix) and isinstance(value, str | int | float) and value != ""


def _list(value: Any) -> tuple[str, ...]:
    """Return a list column's values; in CSV they stand behind each other with ``|`` or ``;`` between."""
    parts: Iterable[Any] = str(value).replace("|", ";").split(";") if isinstance(value, str) else value or ()
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _moment(value: Any) -> datetime | None:
    """Return a date; one without a zone is taken as UTC."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
