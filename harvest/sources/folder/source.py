"""The source plugin for folders."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

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
    Unreadable,
    convert_record,
)
from lightmeter.harvest.sources.folder.sidecars import SidecarListing
from lightmeter.harvest.sources.folder.walk import walk
from lightmeter.harvest.sources.local_files import path_id

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jps", ".mpo", ".insp", ".jp2", ".j2k", ".jpf", ".jpx", ".jpm",
    ".jxl", ".jxr", ".wdp", ".hdp", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".dib",
    ".heic", ".heics", ".heif", ".heifs", ".hif", ".avci", ".avcs", ".avif", ".avifs",
    ".3fr", ".ari", ".arq", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".eip",
    ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kc2", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".obm",
    ".orf", ".ori", ".pef", ".ptx", ".pxn", ".qtk", ".r3d", ".raf", ".raw", ".rdc", ".rw2", ".rwl", ".rwz", ".sr2",
    ".srf", ".srw", ".sti", ".x3f",
})  # fmt: skip
"""Suffixes of pictures, of HEIF and AVIF, and of raw formats; inspection decides whether the files are photographs."""


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

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield photographs in alphabetical order, with a checkpoint after each folder."""
        done = cursor["folder"] if cursor else None
        for folder in walk(query.path, recursive=query.recursive, is_wanted=_is_photo):
            if isinstance(folder, Unreadable):
                yield folder
                continue
            position = [os.fsencode(name).hex() for name in folder.path.relative_to(query.path).parts]
            if done is not None and position <= done:
                continue
            sidecars = SidecarListing(folder.path, folder.names) if query.sidecars else None
            for name in folder.names:
                if _is_photo(name):
                    yield from convert_record(
                        partial(_item, query=query, sidecars=sidecars), folder.path / name, path_id(folder.path / name)
                    )
            yield from folder.unreadable
            yield Checkpoint({"folder": position})


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _item(path: Path, query: Any, sidecars: SidecarListing | None) -> Sighting:
    fields: dict[str, Any] = {"licence": query.assume_licence}
    if sidecars:
        fields |= sidecars.fields(path.name)
    if query.owner_from_folders:
        fields["owner"] = path.parent.name
    if query.concepts_from_folders:
        fields["concepts"] = path.parent.relative_to(query.path).parts
    return Sighting(source_id=path_id(path), media_url=path.as_uri(), file=path.name, medium=query.medium, **fields)
