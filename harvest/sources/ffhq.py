"""Flickr-Faces-HQ (T. Karras, S. Laine, T. Aila, 2019): ffhq-dataset-v2.json with faces and landmarks."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    InputFile,
    InputFolder,
    Option,
    Sighting,
    Source,
    SourceQuery,
    SourceRegion,
)
from lightmeter.harvest.sources.photo_metadata import credit_line, items_with_checkpoints, parse_time

_CHUNK_SIZE = 1 << 20
_SEPARATORS = re.compile(r"[\s,:]*")

Record = dict[str, Any]


class Ffhq(Source):
    """Reads the list one record at a time."""

    name = "ffhq"
    summary = "Flickr-Faces-HQ: photographs with authors, licences, face boxes and landmarks"
    schemes: ClassVar[frozenset[str]] = frozenset({"file", "http", "https"})

    class Query(SourceQuery):
        """Harvest the photographs of FFHQ."""

        file: InputFile = Argument("The list ffhq-dataset-v2.json.")
        images: InputFolder | None = Option(
            None, "Folder with in-the-wild-images/ or images1024x1024/ (default: download)."
        )
        kind: Literal["in_the_wild", "image"] = Option(
            "in_the_wild", "Whole photographs (in_the_wild) or aligned faces (image)."
        )

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Sighting | Checkpoint]:
        """Yield the photographs in the order of the list."""
        return items_with_checkpoints(read_records(query.file), partial(_item, query=query), cursor, every=200)


def read_records(file: Path) -> Iterator[tuple[str, Record]]:
    """Yield the members of a JSON object without reading the whole file (267 MB) into memory.

    Raises:
        UsageError: The file is not an object of objects.
    """
    invalid = UsageError(f"{file} is not FFHQ's ffhq-dataset-v2.json: an object with a record for each photograph.")
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(_CHUNK_SIZE).lstrip()
            if not text.startswith("{"):
                raise invalid
            text = text[1:]
            while True:
                end = 0
                for number, record, end in _complete_members(text):  # noqa: B007 - end of the last member
                    yield number, record
                chunk = stream.read(_CHUNK_SIZE)
                if not chunk:
                    break
                text = text[end:] + chunk
            if text[end:].strip(", \n\r\t") != "}":
                raise invalid
    except UnicodeDecodeError as error:
        raise invalid from error


def _complete_members(text: str) -> Iterator[tuple[str, Record, int]]:
    """Yield the complete members in a piece of JSON, with the index behind each."""
    decoder, start = json.JSONDecoder(), 0
    while True:
        try:
            key, end = decoder.raw_decode(text, _skip_separators(text, start))
            record, end = decoder.raw_decode(text, _skip_separators(text, end))
        except json.JSONDecodeError:
            return
        if not isinstance(key, str) or not isinstance(record, dict):
            return
        yield key, record, end
        start = end


def _skip_separators(text: str, start: int) -> int:
    match = _SEPARATORS.match(text, start)
    return match.end() if match else start


def _item(member: tuple[str, Record], query: Any) -> Sighting:
    number, record = member
    metadata, image = record.get("metadata") or {}, record.get(query.kind) or {}
    owner, title = metadata.get("author") or None, metadata.get("photo_title") or None
    return Sighting(
        source_id=f"{query.kind}/{number}",
        media_url=_media_url(image, query.images),
        page_url=metadata.get("photo_url"),
        file=PurePosixPath(str(image.get("file_path") or "")).name or None,
        owner=owner,
        licence=metadata.get("license_url") or metadata.get("license"),
        attribution=credit_line(title, owner, "Flickr"),
        title=title,
        published_at=parse_time(metadata.get("date_uploaded")),
        regions=tuple(_faces(image)),
        metadata={name: value for name in ("category",) if (value := record.get(name))},
    )


def _media_url(image: Record, folder: Path | None) -> str | None:
    """Return the URL of an image: on the web, or in the folder and never outside it."""
    if folder is None:
        url = str(image.get("file_url") or "")
        return url if urlsplit(url).scheme in {"http", "https"} else None
    path = PurePosixPath(str(image.get("file_path") or ""))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return (folder / path).as_uri()


def _faces(image: Record) -> Iterator[SourceRegion]:
    """Yield the face: its box, or the bounding box of its landmarks."""
    landmarks = image.get("face_landmarks") or []
    box = image.get("face_rect")
    if not box and landmarks:
        xs, ys = zip(*landmarks, strict=True)
        box = [min(xs), min(ys), max(xs), max(ys)]
    if box:
        left, top, right, bottom = (round(value) for value in box)
        details = {"landmarks": landmarks} | ({"quad": image["face_quad"]} if image.get("face_quad") else {})
        yield SourceRegion("face", left, top, right - left, bottom - top, details)
