"""Projects: a folder with ``lightmeter.toml`` and everything that belongs to it."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.terminal.console import get_console

if TYPE_CHECKING:
    from lightmeter.settings import Settings
    from lightmeter.store.base import PhotoStore

SETTINGS_FILE = "lightmeter.toml"

TARGETS = "targets"
"""Folder of a project that holds its own definition files of targets."""

_TEMPLATE = """\
# Settings of this Lightmeter project; see docs/settings.md.

[project]
name = {name}
# Salt of the hashes of camera serial numbers. Do not change it: other hashes would result.
salt = "{salt}"

[catalogue]
url = "sqlite:///catalogue.sqlite"

[store]
url = "file:store"

[crawl]
# E-mail address or web page where the owners of crawled sites can reach you.
contact = ""
"""


@dataclass(frozen=True)
class Project:
    """A project folder.

    Attributes:
        root: Absolute path of the folder that holds ``lightmeter.toml``.

    Example:
        >>> Project(Path("/data/film")).datasets
        PosixPath('/data/film/datasets')
    """

    root: Path

    @cached_property
    def settings(self) -> "Settings":
        """The project's settings, read once."""
        from lightmeter.settings import read_settings

        return read_settings(self.root / SETTINGS_FILE)

    @cached_property
    def store(self) -> "PhotoStore":
        """The store of the original files."""
        from lightmeter.store.urls import StoreUrl

        settings = self.settings.store
        return StoreUrl.parse(settings.url).open(self.root, self.state / "cache" / "photographs", settings.cache_mb)

    @property
    def datasets(self) -> Path:
        """Folder of data sets."""
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        """Folder of training runs."""
        return self.root / "runs"

    @property
    def archives(self) -> Path:
        """Folder of model archives."""
        return self.root / "archives"

    @property
    def state(self) -> Path:
        """Folder of caches, logs and server state; safe to delete while no command runs."""
        return self.root / ".lightmeter"

    @property
    def logs(self) -> Path:
        """Folder of log files; safe to delete while no command runs."""
        return self.state / "logs"

    def select_photographs(self, where: str) -> Iterator[str]:
        """Yield the SHA-256 of the readable photographs that match a query, in an order that stays.

        Args:
            where: Query as for ``--where``; empty for all photographs.

        Raises:
            UsageError: The query is invalid.
            LightmeterError: No photograph matches.
        """
        (catalogue,) = entry_points(group="lightmeter.selection", name="catalogue")  # models must not import it
        selected: Iterator[str] = catalogue.load()(self, where)
        return selected


def find_project(start: Path | None = None) -> Project:
    """Return the project given with ``--project``, or else the nearest one at or above a folder.

    Args:
        start: Folder to start from (default: the working directory).

    Raises:
        UsageError: There is no project.
    """
    given = get_console().project
    if given is not None:
        if not (given / SETTINGS_FILE).is_file():
            raise UsageError(
                f"{given} is not a project (it has no {SETTINGS_FILE}); create one with 'lightmeter init {given}'."
            )
        return Project(given.resolve())
    folder = (start or Path.cwd()).resolve()
    for parent in (folder, *folder.parents):
        if (parent / SETTINGS_FILE).is_file():
            return Project(parent)
    raise UsageError(
        "This folder is not in a project; create one with 'lightmeter init' or select one with --project DIR."
    )


def find_optional_project() -> Project | None:
    """Return the project as `find_project` does, or None outside a project.

    Raises:
        UsageError: The folder given with ``--project`` is not a project.
    """
    try:
        return find_project()
    except UsageError:
        if get_console().project is not None:
            raise
        return None


def create_project(folder: Path) -> Project:
    """Create a project's settings and photo store. Existing files are kept.

    Args:
        folder: Project folder; created if missing.

    Raises:
        UsageError: The folder cannot be created or written to.
        StoreError: The photo store cannot be created, or does not exist in object storage.
    """
    root = folder.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot create the folder {folder}: {error.strerror}.") from error
    if not os.access(root, os.W_OK):
        raise UsageError(f"Cannot write to the folder {folder}.")
    settings = root / SETTINGS_FILE
    if not settings.exists():
        name = root.name.encode(errors="replace").decode()  # file names are bytes
        write_atomic(settings, _TEMPLATE.format(name=json.dumps(name), salt=secrets.token_hex(16)))
    project = Project(root)
    project.store.create()
    return project
