"""Flickr-Faces-HQ (T. Karras, S. Laine, T. Aila, 2019): ffhq-dataset-v2.json with faces and landmarks."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from lightmeter.errors import UsageError
from lightmeter.harvest.dates import parse_time
from lightmeter.harvest.sources.base import (
    Argument,
    Cursor,
    InputFile,
    InputFolder,
    Item,
    Option,
    Sighting,
    Source,
    SourceQuery,
    SourceRegion,
    Unreadable,
)
from lightmeter.harvest.sources.photo_metadata import (
    as_dict,
    as_list,
    as_text,
    credit_line,
    items_with_checkpoints,
    web_url,
)

_CHUNK_SIZE = 1 << 20
_MAX_MEMBER_LENGTH = 4 << 20
_MAX_COORDINATE = 1 << 31
_SEPARATORS = " ,:\n\r\t"
_KEY = re.compile(r'"\d+"\s{0,9}:')
_DECODER = json.JSONDecoder()

Record = dict[str, Any]
Member = tuple[str, Any]
"""Key and value."""


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

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield the photographs in the order of the list."""
        convert = partial(_item, query=query)
        return items_with_checkpoints(read_members(query.file), convert, cursor, location=str(query.file), every=200)


def read_members(file: Path) -> Iterator[Member | Unreadable]:
    """Yield the members of a JSON object without reading the whole file (267 MB) into memory.

    A member that is not JSON is skipped up to the next key.

    Raises:
        UsageError: The file is not an object.
    """
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        text = stream.read(_CHUNK_SIZE).lstrip()
        if not text.startswith("{"):
            raise UsageError(f"{file} is not FFHQ's ffhq-dataset-v2.json: an object with a record for each photograph.")
        start, is_complete, skipped = 1, False, 0
        while True:
            member, end = _next_member(text, start)
            if member is not None:
                yield member
                start = end
            elif len(text) - start < _MAX_MEMBER_LENGTH and not is_complete:
                chunk = stream.read(_CHUNK_SIZE)
                text, start, is_complete = text[start:] + chunk, 0, not chunk
            elif text[start:].strip(_SEPARATORS) in ("", "}"):
                return
            else:
                skipped += 1
                yield Unreadable(f"{file}, broken member {skipped}", "it is not JSON")
                following = _KEY.search(text, _skip_separators(text, start) + 1)
                start = following.start() if following else len(text)


def _next_member(text: str, start: int) -> tuple[Member | None, int]:
    """Return the member at an index and the index behind it; None if there is no complete one."""
    try:
        key, end = _DECODER.raw_decode(text, _skip_separators(text, start))
        value, end = _DECODER.raw_decode(text, _skip_separators(text, end))
    except (ValueError, RecursionError):
        return None, start
    return (str(key), value), end


def _skip_separators(text: str, start: int) -> int:
    while start < len(text) and text[start] in _SEPARATORS:
        start += 1
    return start


def _item(member: Member, query: Any) -> Sighting:
    number, record = member
    metadata, image = as_dict(record.get("metadata")), as_dict(record.get(query.kind))
    owner, title = as_text(metadata.get("author")), as_text(metadata.get("photo_title"))
    return Sighting(
        source_id=f"{query.kind}/{number}",
        media_url=_media_url(image, query.images),
        page_url=as_text(metadata.get("photo_url")),
        file=PurePosixPath(str(image.get("file_path") or "")).name or None,
        owner=owner,
        licence=as_text(metadata.get("license_url")) or as_text(metadata.get("license")),
        attribution=credit_line(title, owner, "Flickr"),
        title=title,
        published_at=parse_time(metadata.get("date_uploaded")),
        regions=tuple(_faces(image)),
        metadata={name: value for name in ("category",) if (value := record.get(name))},
    )


def _media_url(image: Record, folder: Path | None) -> str | None:
    """Return the URL of an image: on the web, or in the folder and never outside it."""
    if folder is None:
        return web_url(image.get("file_url"))
    path = PurePosixPath(str(image.get("file_path") or ""))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return (folder / path).as_uri()


def _faces(image: Record) -> Iterator[SourceRegion]:
    """Yield the face: its box, or the bounding box of its landmarks; none if they are not numbers."""
    landmarks = as_list(image.get("face_landmarks"))
    box = _numbers(image.get("face_rect"), 4)
    points = [_numbers(point, 2) for point in landmarks]
    if not box and points and all(points):
        xs, ys = zip(*points, strict=True)
        box = [min(xs), min(ys), max(xs), max(ys)]
    if box:
        left, top, right, bottom = (round(value) for value in box)
        details = {"landmarks": landmarks} | ({"quad": image["face_quad"]} if image.get("face_quad") else {})
        yield SourceRegion("face", left, top, right - left, bottom - top, details)


def _numbers(value: Any, count: int) -> list[float]:
    """Return a list of finite numbers; an empty one for anything else."""
    numbers = as_list(value)
    valid = [number for number in numbers if isinstance(number, int | float) and abs(number) < _MAX_COORDINATE]
    return valid if len(valid) == len(numbers) == count else []
