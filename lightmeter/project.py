"""A project: a folder with ``lightmeter.toml``, and what lies in it."""

import os
import re
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lightmeter import console, plugins
from lightmeter.errors import UsageError
from lightmeter.files import write_atomic

if TYPE_CHECKING:
    from lightmeter.settings import Settings

SETTINGS_FILE = "lightmeter.toml"

_TEMPLATE = """\
# Settings of this Lightmeter project; `docs/settings.md` lists them all.

[project]
name = {name}
# Mixed into the hash of camera serial numbers. Keep it: other salt, other hashes.
salt = "{salt}"

[catalogue]
url = "sqlite:///catalogue.sqlite"

[store]
path = "store"

[crawl]
# A mail address or web page at which people whose sites you crawl can reach you.
contact = ""
"""


@dataclass(frozen=True)
class Project:
    """A project's folder.

    Attributes:
        root: the folder that holds ``lightmeter.toml``, absolute.
    """

    root: Path

    @cached_property
    def settings(self) -> "Settings":
        """The project's settings, read once."""
        from lightmeter.settings import read_settings

        return read_settings(self.root / SETTINGS_FILE)

    @property
    def store(self) -> Path:
        """The folder of original bytes."""
        return self.root / self.settings.store.path

    @property
    def catalogue_url(self) -> str:
        """The catalogue's SQLAlchemy URL, a SQLite path made absolute."""
        url = self.settings.catalogue.url
        relative = re.fullmatch(r"(sqlite(?:\+\w+)?):///(?!/)(.+)", url)
        return f"{relative[1]}:///{self.root / relative[2]}" if relative else url

    @property
    def datasets(self) -> Path:
        """The folder of data sets."""
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        """The folder of training runs."""
        return self.root / "runs"

    @property
    def archives(self) -> Path:
        """The folder of model archives."""
        return self.root / "archives"

    @property
    def state(self) -> Path:
        """The folder of what programs remember between commands (logs, server state); safe to delete when idle."""
        return self.root / ".lightmeter"

    @property
    def logs(self) -> Path:
        """The folder of what programs log; safe to delete when idle."""
        return self.state / "logs"


def find_project(start: Path | None = None) -> Project:
    """Return the project of ``--project``, or the nearest one at or above ``start`` (the working directory).

    Raises:
        UsageError: if there is none.
    """
    given = console.get_console().project
    if given is not None:
        if not (given / SETTINGS_FILE).is_file():
            raise UsageError(
                f"{given} is no project (it has no {SETTINGS_FILE}); make one with 'lightmeter init {given}'."
            )
        return Project(given.resolve())
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return Project(folder)
    raise UsageError("This folder belongs to no project; make one with 'lightmeter init', or name one with --project.")


def find_optional_project() -> Project | None:
    """Return the project as `find` does, or None where there is none and none was named."""
    try:
        return find_project()
    except UsageError:
        if console.get_console().project is not None:
            raise
        return None


def create_project(folder: Path) -> Project:
    """Make a project, with everything that the floors add to one; what is there already is left as it is.

    Raises:
        UsageError: if the folder cannot be written.
    """
    root = folder.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(root, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written to.")
    settings = root / SETTINGS_FILE
    if not settings.exists():
        quoted = '"' + root.name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        write_atomic(settings, _TEMPLATE.format(name=quoted, salt=secrets.token_hex(16)))
    project = Project(root)
    for plugin in plugins.installed("setup").values():
        plugin.load()(project)
    return project
