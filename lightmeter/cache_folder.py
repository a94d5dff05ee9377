"""The folder of caches."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lightmeter.project import find_optional_project
from lightmeter.terminal.console import get_console


def cache_root() -> Path:
    """Return the folder of files that can be computed or downloaded again: the first one that can be written.

    It is in the project, else in the user's cache folder, else among the temporary files.
    """
    for folder in _cache_folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return _temporary_cache()


def _cache_folders() -> Iterator[Path]:
    project = find_optional_project()
    if project:
        yield project.state / "cache"
    if root := os.environ.get("XDG_CACHE_HOME"):
        yield Path(root) / "lightmeter"
    with suppress(RuntimeError):  # no home folder
        yield Path.home() / ".cache" / "lightmeter"


def _temporary_cache() -> Path:
    """Return a folder among the temporary files that nobody else can write to."""
    folder = Path(tempfile.gettempdir()) / f"lightmeter-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        folder = Path(tempfile.mkdtemp(prefix="lightmeter-"))
    get_console().note(f"Caches are kept in {folder}, because there is no home folder that can be written to.")
    return folder
