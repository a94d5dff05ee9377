"""Photographs in a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import field_validator

from lightmeter.harvest.sources.base import Argument, Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery
from lightmeter.harvest.sources.folder.sidecars import Sidecar, read_sidecars

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
        concepts_from_folders: bool = Option(
            default=False, description="The folders that a photograph lies in are its classes: animal/dog."
        )
        sidecars: bool = Option(default=True, description="Read gallery-dl's JSON and XMP files beside photographs.")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")
        assume_licence: str | None = Option(None, "Licence of those whose sidecar names none, as SPDX names it.")

        @field_validator("path")
        @classmethod
        def _is_folder(cls, path: Path) -> Path:
            if not path.is_dir():
                raise ValueError(f"{path} is not a folder")
            return path.absolute()

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
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


def _sighting(path: Path, query: Any) -> PhotoItem:
    beside = read_sidecars(path) if query.sidecars else Sidecar()
    return PhotoItem(
        source_id=str(path),
        media_url=path.as_uri(),
        page_url=beside.page_url,
        file=path.name,
        owner=path.parent.name if query.owner_from_folders else beside.owner,
        licence=beside.licence or query.assume_licence,
        attribution=beside.attribution,
        title=beside.title,
        tags=beside.tags,
        medium=query.medium,
        concepts=path.parent.relative_to(query.path).parts if query.concepts_from_folders else (),
        published_at=beside.published_at,
        exif=beside.exif or None,
        exif_origin="sidecar",
        metadata=beside.metadata,
    )
