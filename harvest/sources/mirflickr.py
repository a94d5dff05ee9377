"""MIRFLICKR-25000 and MIRFLICKR-1M on disk (M. J. Huiskes, M. S. Lew: *The MIR Flickr Retrieval Evaluation*, 2008)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Argument, Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery

_LABELLED = re.compile(r"(?P<label>[A-Z][\w ]+?)\s*:\s*(?P<value>.*)")


class Mirflickr(Source):
    """Pairs each image with its text files: EXIF (raw and clean), tags, and who made it under which licence."""

    name = "mirflickr"
    summary = "MIRFLICKR-25000 or MIRFLICKR-1M, unpacked: images with their EXIF, tags and licences"
    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    class Query(SourceQuery):
        """Where it lies."""

        path: Path = Argument("Folder that holds im1.jpg … and meta/, or images/, exif/ and tags/.")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")

        @field_validator("path")
        @classmethod
        def _is_data_set(cls, path: Path) -> Path:
            if not any(path.glob("im*.jpg")) and not (path / "images").is_dir():
                raise ValueError(f"{path} holds neither im1.jpg … nor images/")
            return path.absolute()

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield the images, folder by folder, by number; a checkpoint stands behind each folder."""
        done = cursor["folder"] if cursor else None
        for folder in _folders(query.path):
            name = str(folder.relative_to(query.path))
            if done is not None:
                done = None if name == done else done
                continue
            for image in sorted(folder.glob("*.jpg"), key=_number):
                yield _sighting(image, query)
            yield Checkpoint({"folder": name})


def read_pairs(file: Path) -> dict[str, str]:
    """Return what a text file of the data set says: ``-Label`` on one line, the value on the next; or ``Label: value``.

    A label that comes again gets a number behind it; the first is the one that counts.
    """
    pairs: dict[str, str] = {}
    label = None
    for line in _lines(file):
        together = _LABELLED.fullmatch(line) if label is None else None
        if together:
            _add(pairs, together["label"], together["value"])
        elif line.startswith("-") and label is None:
            label = line[1:].strip()
        elif label is not None:
            _add(pairs, label, line)
            label = None
    return pairs


def _folders(path: Path) -> list[Path]:
    if not (path / "images").is_dir():
        return [path]
    return sorted((folder for folder in (path / "images").iterdir() if folder.is_dir()), key=_number)


def _number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.stem) or 0)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _add(pairs: dict[str, str], label: str, value: str) -> None:
    times = sum(known == label or known.startswith(f"{label} #") for known in pairs)
    pairs[f"{label} #{times + 1}" if times else label] = value.strip()


def _beside(image: Path, top: Path, *kinds: str) -> Iterator[Path]:
    """Yield where a kind of text file about an image may be: 25000 (meta/exif/exif1.txt), then 1M (exif/0/1.txt)."""
    for kind in kinds:
        plain = kind.removesuffix("_raw")
        if image.parent == top:
            yield top / "meta" / kind / f"{plain}{_number(image)}.txt"
        else:
            yield top / kind / image.parent.name / f"{image.stem}.txt"
            yield top / "meta" / kind / image.parent.name / f"{image.stem}.txt"


def _sighting(image: Path, query: Any) -> PhotoItem:
    exif: dict[str, str] = {}
    for file in _beside(image, query.path, "exif", "exif_raw"):
        exif = read_pairs(file) | exif
    about: dict[str, str] = {}
    for file in _beside(image, query.path, "license"):
        about |= read_pairs(file)
    tags = next((lines for file in _beside(image, query.path, "tags", "tags_raw") if (lines := _lines(file))), [])
    owner = about.get("Owner id") or about.get("Owner username") or about.get("Owner name")
    title, page = about.get("Picture title"), about.get("Web url")
    named = about.get("Owner name") or owner
    return PhotoItem(
        source_id=str(image.relative_to(query.path)),
        media_url=image.as_uri(),
        page_url=page,
        owner=owner,
        licence=_licence(about),
        attribution=f"{title or 'Photograph'} by {named} on Flickr" if named else None,
        title=title,
        tags=tuple(tag.strip() for tag in tags if tag.strip()),
        medium=query.medium,
        exif=dict(exif) or None,
        exif_origin="sidecar",
        metadata={"flickr_id": about["Photo id"]} if "Photo id" in about else {},
    )


def _licence(about: dict[str, str]) -> str | None:
    """Return the licence that a licence file names, under whatever label."""
    said = next((value for label, value in about.items() if label.lower().startswith(("licen", "creative"))), None)
    return licences.normalise(said)
