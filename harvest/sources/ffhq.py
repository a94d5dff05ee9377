"""Flickr-Faces-HQ (T. Karras, S. Laine, T. Aila, 2019): ffhq-dataset-v2.json, with faces and landmarks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import field_validator

from lightmeter.errors import UsageError
from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Argument, Checkpoint, Option, PhotoItem, Source, SourceQuery, SourceRegion

_BETWEEN_CHECKPOINTS = 200
_PIECE = 1 << 20
_BETWEEN = ", \n\r\t"
_GOVERNMENT = {"United States Government Work": licences.UNITED_STATES_GOVERNMENT}

Record = dict[str, Any]


class Ffhq(Source):
    """Reads the list a record at a time; photographs in the wild are whole, aligned ones are cut to the face."""

    name = "ffhq"
    summary = "Flickr-Faces-HQ: photographs with authors, licences, face boxes and landmarks"
    schemes: ClassVar[frozenset[str]] = frozenset({"file", "http", "https"})

    class Query(SourceQuery):
        """The list, and where the images come from."""

        file: Path = Argument("ffhq-dataset-v2.json.")
        images: Path | None = Option(None, "Folder in which in-the-wild-images/ or images1024x1024/ lie.")
        kind: Literal["in_the_wild", "image"] = Option("in_the_wild", "Whole photographs, or aligned faces (image).")

        @field_validator("file")
        @classmethod
        def _is_file(cls, file: Path) -> Path:
            if not file.is_file():
                raise ValueError(f"{file} is not a file")
            return file.absolute()

        @field_validator("images")
        @classmethod
        def _is_folder(cls, images: Path | None) -> Path | None:
            if images is not None and not images.is_dir():
                raise ValueError(f"{images} is not a folder")
            return images.absolute() if images else None

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield the photographs in the list's order, with a checkpoint every few hundred."""
        first = cursor["index"] if cursor else 0
        for index, (number, record) in enumerate(read_members(query.file)):
            if index >= first:
                yield _sighting(number, record, query)
            if (index + 1) % _BETWEEN_CHECKPOINTS == 0 and index >= first:
                yield Checkpoint({"index": index + 1})


def read_members(file: Path) -> Iterator[tuple[str, Record]]:
    """Yield the members of a JSON object one after the other; the file (267 MB) is never in memory as a whole.

    Raises:
        UsageError: if it is of another form.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            text = lines.read(_PIECE).lstrip()
            if not text.startswith("{"):
                raise UsageError(_wrong(file))
            text = text[1:]
            while True:
                end = 0
                for number, record, end in _members(text):  # noqa: B007 - where the last one ends
                    yield number, record
                piece = lines.read(_PIECE)
                if not piece:
                    break
                text = text[end:] + piece
            if text[end:].strip(_BETWEEN) != "}":
                raise UsageError(_wrong(file))
    except UnicodeDecodeError as error:
        raise UsageError(_wrong(file)) from error


def _members(text: str) -> Iterator[tuple[str, Record, int]]:
    """Yield the members that are whole in a piece of text, and where each ends."""
    decoder, place = json.JSONDecoder(), 0
    while True:
        try:
            key, end = decoder.raw_decode(text, _skip(text, place, _BETWEEN))
            record, end = decoder.raw_decode(text, _skip(text, end, _BETWEEN + ":"))
        except json.JSONDecodeError:
            return
        if not isinstance(key, str) or not isinstance(record, dict):
            return
        yield key, record, end
        place = end


def _skip(text: str, place: int, blanks: str) -> int:
    while place < len(text) and text[place] in blanks:
        place += 1
    return place


def _sighting(number: str, record: Record, query: Any) -> PhotoItem:
    about, image = record.get("metadata") or {}, record.get(query.kind) or {}
    owner, title = about.get("author") or None, about.get("photo_title") or None
    licence = licences.normalise(about.get("license_url")) or licences.normalise(about.get("license"))
    return PhotoItem(
        source_id=f"{query.kind}/{number}",
        media_url=_address(image, query),
        page_url=about.get("photo_url"),
        file=PurePosixPath(str(image.get("file_path") or "")).name or None,
        owner=owner,
        licence=_GOVERNMENT.get(str(about.get("license")), licence),
        attribution=f"{title or 'Photograph'} by {owner} on Flickr" if owner else None,
        title=title,
        medium=None,
        published_at=_day(about.get("date_uploaded")),
        regions=tuple(_faces(image)),
        metadata={name: value for name in ("category",) if (value := record.get(name))},
    )


def _address(image: Record, query: Any) -> str | None:
    """Return where an image is; on disk never outside the folder that was named."""
    if query.images is None:
        address = str(image.get("file_url") or "")
        return address if urlsplit(address).scheme in {"http", "https"} else None
    inside = PurePosixPath(str(image.get("file_path") or ""))
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        return None
    return str((query.images / inside).as_uri())


def _faces(image: Record) -> Iterator[SourceRegion]:
    """Yield the face: its box where there is one, else the box around its landmarks."""
    landmarks = image.get("face_landmarks") or []
    box = image.get("face_rect")
    if not box and landmarks:
        across, down = zip(*landmarks, strict=True)
        box = [min(across), min(down), max(across), max(down)]
    if box:
        left, top, right, bottom = (round(value) for value in box)
        details = {"landmarks": landmarks} | ({"quad": image["face_quad"]} if image.get("face_quad") else {})
        yield SourceRegion("face", left, top, right - left, bottom - top, details)


def _day(said: Any) -> datetime | None:
    try:
        return datetime.strptime(str(said), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _wrong(file: Path) -> str:
    return f"{file} is not FFHQ's ffhq-dataset-v2.json: an object that holds a record for each photograph."
