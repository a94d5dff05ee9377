"""The source plugin for folders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    InputFolder,
    Medium,
    Option,
    Sighting,
    Source,
    SourceQuery,
)
from lightmeter.harvest.sources.folder.sidecars import read_sidecars

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".heic", ".heif", ".avif"}
    | {".jp2", ".mpo", ".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2"}
)


class Folder(Source):
    """Walks a folder; files are selected by suffix, and inspection decides whether they are photographs."""

    name = "folder"
    summary = "photographs in a folder"
    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    class Query(SourceQuery):
        """Harvest the photographs in a folder."""

        path: InputFolder = Argument("Folder with photographs.")
        recursive: bool = Option(default=True, description="Recurse into subfolders.")
        owner_from_folders: bool = Option(default=False, description="Use the parent folder name as photographer.")
        concepts_from_folders: bool = Option(
            default=False, description="Use folder names as class labels, for example animal/dog."
        )
        sidecars: bool = Option(default=True, description="Read gallery-dl's JSON and XMP files beside photographs.")
        medium: Medium | None = Option(None, "Medium of all photographs.")
        assume_licence: str | None = Option(None, "Default licence (SPDX identifier) when no sidecar names one.")

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Sighting | Checkpoint]:
        """Yield photographs in alphabetical order, with a checkpoint after each folder."""
        done = cursor["folder"] if cursor else ""
        for folder in _folders(query.path, recursive=query.recursive):
            if str(folder) <= done:
                continue
            for path in sorted(path for path in folder.iterdir() if path.is_file()):
                if path.suffix.lower() in SUFFIXES:
                    yield _item(path, query)
            yield Checkpoint({"folder": str(folder)})


def _folders(top: Path, *, recursive: bool) -> list[Path]:
    subfolders = [path for path in top.rglob("*") if path.is_dir()] if recursive else []
    return sorted([top, *subfolders], key=str)


def _item(path: Path, query: Any) -> Sighting:
    fields: dict[str, Any] = {"licence": query.assume_licence}
    if query.sidecars:
        fields |= read_sidecars(path)
    if query.owner_from_folders:
        fields["owner"] = path.parent.name
    if query.concepts_from_folders:
        fields["concepts"] = path.parent.relative_to(query.path).parts
    return Sighting(source_id=str(path), media_url=path.as_uri(), file=path.name, medium=query.medium, **fields)
