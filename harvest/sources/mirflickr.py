"""MIRFLICKR-25000 and MIRFLICKR-1M on disk (M. J. Huiskes, M. S. Lew: *The MIR Flickr Retrieval Evaluation*, 2008)."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    InputFolder,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
    convert_record,
)
from lightmeter.harvest.sources.local_files import path_id, read_small_file
from lightmeter.harvest.sources.photo_metadata import credit_line

_LABEL = re.compile(r"[A-Z][\w ]+")
_MAX_LINES, _MAX_DIGITS = 2000, 18


class Mirflickr(Source):
    """Combines each image with its text files: EXIF (raw and clean), tags, owner and licence."""

    name = "mirflickr"
    summary = "MIRFLICKR-25000 or MIRFLICKR-1M, unpacked: images with their EXIF, tags and licences"
    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    class Query(SourceQuery):
        """Harvest the unpacked MIRFLICKR data set."""

        path: InputFolder = Argument("Folder with im1.jpg … and meta/, or with images/, exif/ and tags/.")
        medium: Medium | None = Option(None, "Medium of all photographs.")

        @field_validator("path")
        @classmethod
        def _contains_images(cls, path: Path) -> Path:
            if not any(path.glob("im*.jpg")) and not (path / "images").is_dir():
                raise ValueError(f"{path} contains neither im1.jpg … nor images/")
            return path

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield the images by folder and number, with a checkpoint after each folder."""
        done = cursor["folder"] if cursor else None
        for folder in _image_folders(query.path):
            name = str(folder.relative_to(query.path))
            if done is not None:
                done = None if name == done else done
                continue
            for image in sorted(folder.glob("*.jpg"), key=_number):
                yield from convert_record(partial(_item, query=query), image, str(image))
            yield Checkpoint({"folder": name})


def read_pairs(file: Path) -> dict[str, str]:
    """Return the labels and values of a text file.

    A pair is written as ``-Label`` with the value on the next line, or as ``Label: value``. Further values of a label
    are stored as ``Label #2`` and so on.
    """
    pairs: dict[str, str] = {}
    counts: Counter[str] = Counter()

    def add(label: str, value: str) -> None:
        counts[label] += 1
        pairs[f"{label} #{counts[label]}" if counts[label] > 1 else label] = value.strip()

    label = None
    for line in _lines(file):
        if label is not None:
            add(label, line)
            label = None
        elif line.startswith("-"):
            label = line[1:].strip()
        else:
            name, colon, value = line.partition(":")
            if colon and _LABEL.fullmatch(name.rstrip()):
                add(name.rstrip(), value)
    return pairs


def _image_folders(path: Path) -> list[Path]:
    if not (path / "images").is_dir():
        return [path]
    return sorted((folder for folder in (path / "images").iterdir() if folder.is_dir()), key=_number)


def _number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.stem, flags=re.ASCII)[:_MAX_DIGITS] or 0)


def _lines(file: Path) -> list[str]:
    return read_small_file(file).decode("utf-8", "replace").splitlines()[:_MAX_LINES]


def _text_files(image: Path, top: Path, *kinds: str) -> Iterator[Path]:
    """Yield the possible text files of an image: MIRFLICKR-25000 (meta/exif/exif1.txt), then 1M (exif/0/1.txt)."""
    for kind in kinds:
        prefix = kind.removesuffix("_raw")
        if image.parent == top:
            yield top / "meta" / kind / f"{prefix}{_number(image)}.txt"
        else:
            yield top / kind / image.parent.name / f"{image.stem}.txt"
            yield top / "meta" / kind / image.parent.name / f"{image.stem}.txt"


def _item(image: Path, query: Any) -> Sighting:
    exif: dict[str, str] = {}
    for file in _text_files(image, query.path, "exif", "exif_raw"):
        exif = read_pairs(file) | exif
    pairs: dict[str, str] = {}
    for file in _text_files(image, query.path, "license"):
        pairs |= read_pairs(file)
    tags = next((lines for file in _text_files(image, query.path, "tags", "tags_raw") if (lines := _lines(file))), [])
    owner = pairs.get("Owner id") or pairs.get("Owner username") or pairs.get("Owner name")
    title = pairs.get("Picture title")
    return Sighting(
        source_id=path_id(image.relative_to(query.path)),
        media_url=image.as_uri(),
        page_url=pairs.get("Web url"),
        owner=owner,
        licence=next((pairs[label] for label in pairs if label.lower().startswith(("licen", "creative"))), None),
        attribution=credit_line(title, pairs.get("Owner name") or owner, "Flickr"),
        title=title,
        tags=tuple(tag.strip() for tag in tags if tag.strip()),
        medium=query.medium,
        exif=exif or None,
        exif_origin="sidecar",
        metadata={"flickr_id": pairs["Photo id"]} if "Photo id" in pairs else {},
    )
