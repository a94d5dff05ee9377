"""Walk of a folder: each real folder and file once, whatever links lead to it."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lightmeter.errors import LightmeterError, os_reason
from lightmeter.harvest.sources.base import Unreadable
from lightmeter.harvest.sources.local_files import path_id

_Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class WalkedFolder:
    """A folder and what is in it.

    Attributes:
        path: The folder.
        names: Names of its files, sorted by their bytes.
        unreadable: Entries that are neither files nor folders, or that cannot be examined.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def walk(top: Path, *, recursive: bool, is_wanted: Callable[[str], bool]) -> Iterator[WalkedFolder | Unreadable]:
    """Yield a folder and its subfolders in alphabetical order, and what cannot be read.

    A link to a file or folder that the walk reaches anyway is ignored, so that no photograph counts twice. Other links
    are followed, once per target.

    Args:
        top: The folder.
        recursive: Whether to walk subfolders.
        is_wanted: Returns whether a file of this name is a photograph.

    Raises:
        LightmeterError: The folder itself cannot be read.
    """
    walker = _Walker(top, is_wanted, recursive=recursive)
    pending = [top]
    while pending:
        path = pending.pop()
        try:
            with os.scandir(path) as entries:
                sorted_entries = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if path == top:
                raise LightmeterError(f"The folder {top} cannot be read: {os_reason(error)}") from error
            yield Unreadable(path_id(path), os_reason(error))
            continue
        folder = WalkedFolder(path)
        subfolders: list[Path] = []
        for entry in sorted_entries:
            walker.sort_entry(entry, folder, subfolders)
        yield folder
        pending += reversed(subfolders)


class _Walker:
    """Decides about each entry of a folder."""

    def __init__(self, top: Path, is_wanted: Callable[[str], bool], *, recursive: bool) -> None:
        self._top, self._is_wanted, self._recursive = Path(os.path.realpath(top)), is_wanted, recursive
        self._linked: set[_Identity] = set()

    def sort_entry(self, entry: "os.DirEntry[str]", folder: WalkedFolder, subfolders: list[Path]) -> None:
        """Add an entry to the files of a folder, its subfolders or what is unreadable in it."""
        path = folder.path / entry.name
        try:
            if entry.is_symlink() and self._is_repeated(path):
                return
            if entry.is_dir():
                if self._recursive and self._is_new_folder(entry, path):
                    subfolders.append(path)
            elif entry.is_file():
                folder.names.append(entry.name)
            elif self._is_wanted(entry.name):
                folder.unreadable.append(Unreadable(path_id(path), "not a regular file"))
        except OSError as error:
            folder.unreadable.append(Unreadable(path_id(path), os_reason(error)))

    def _is_repeated(self, link: Path) -> bool:
        """Return whether the walk reaches the target of a link anyway, or has followed another link to it."""
        status, target = link.stat(), Path(os.path.realpath(link))
        walked = self._top in (target, *target.parents) if self._recursive else self._top in (target, target.parent)
        if walked and (stat.S_ISDIR(status.st_mode) or self._is_wanted(target.name)):
            return True
        identity = (status.st_dev, status.st_ino)
        if identity in self._linked:
            return True
        self._linked.add(identity)
        return False

    def _is_new_folder(self, entry: "os.DirEntry[str]", path: Path) -> bool:
        """Return whether a folder is new; below the target of a link it may have been reached by another link."""
        if entry.is_symlink() or not self._linked:
            return True
        status = path.stat()
        if (status.st_dev, status.st_ino) in self._linked:
            return False
        if self._top not in Path(os.path.realpath(path)).parents:
            self._linked.add((status.st_dev, status.st_ino))
        return True
