"""Photographs in a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import field_validator

from harvest.sources.base import Argument, Checkpoint, Medium, Option, Sighting, Source, SourceQuery

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".heic", ".heif", ".avif"}
    | {".jp2", ".mpo", ".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2"}
)


class Folder(Source):
    """Walks a folder; what has the suffix of a picture is a photograph, whether it turns out to be one or not."""

    name = "folder"
    summary = "photographs in a folder"
    schemes = frozenset({"file"})

    class Query(SourceQuery):
        """What is walked, and what the folders' names mean."""

        path: Path = Argument("Folder to walk.")
        recursive: bool = Option(default=True, description="Go into folders below it.")
        owner_from_folders: bool = Option(
            default=False, description="The folder that a photograph lies in is its photographer."
        )
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")
        assume_licence: str | None = Option(None, "Licence of all of them, as an SPDX identifier.")

        @field_validator("path")
        @classmethod
        def _is_folder(cls, path: Path) -> Path:
            if not path.is_dir():
                raise ValueError(f"{path} is not a folder")
            return path.absolute()

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        """Yield photographs in alphabetical order, with a checkpoint behind each folder."""
        done = cursor["folder"] if cursor else ""
        for folder in _folders(query.path, recursive=query.recursive):
            if str(folder) <= done:
                continue
            for path in sorted(path for path in folder.iterdir() if path.is_file()):
                if path.suffix.lower() in SUFFIXES:
                    yield _sighting(path, query)
            yield Checkpoint({"folder": str(folder)})


def _folders(top: Path, *, recursive: bool) -> list[Path]:
    below = [path for path in top.rglob("*") if path.is_dir()] if recursive else []
    return sorted([top, *below], key=str)


def _sighting(path: Path, query: Any) -> Sighting:
    return Sighting(
        source_id=str(path),
        media_url=path.as_uri(),
        file=path.name,
        owner=path.parent.name if query.owner_from_folders else None,
        licence=query.assume_licence,
        medium=query.medium,
    )
