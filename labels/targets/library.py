"""Finding targets: definition files beside the plugins, and those of the project, which win."""

import inspect
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labels.targets.base import Target
from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.project import Project

FOLDER = "targets"
"""Folder of a project that holds its own definitions."""


@dataclass(frozen=True)
class Entry:
    """One definition file and the target that it makes."""

    file: Path
    origin: str
    target: Target[Any]


def targets(project: Project | None = None) -> dict[str, Entry]:
    """Return every target by name: those that plugins bring, then the project's, which replace one of the same name.

    Raises:
        UsageError: if a file of the project is wrong.
    """
    entries: dict[str, Entry] = {}
    for plugin in plugins.installed("targets").values():
        for file in _files(Path(inspect.getfile(plugin.load())).parent / "definitions"):
            entry = Entry(file, plugin.origin, read(file))
            entries.setdefault(entry.target.name, entry)
    for file in _files(project.root / FOLDER) if project else ():
        entry = Entry(file, "project", read(file))
        entries[entry.target.name] = entry
    return dict(sorted(entries.items()))


def find(name: str, project: Project | None = None) -> Target[Any]:
    """Return one target.

    Raises:
        UsageError: if there is none of that name; the sentence names the nearest.
    """
    entries = targets(project)
    if name not in entries:
        raise UsageError(plugins.unknown("target", name, list(entries)))
    return entries[name].target


def read(file: Path) -> Target[Any]:
    """Make the target that a definition file declares.

    Raises:
        UsageError: if the file is wrong; the sentence names file and key.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from error
    kind: type[Target[Any]] = plugins.get("targets", str(values.get("by", "(none)"))).load()
    try:
        return kind(kind.reads.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{file}: {where + ': ' if where else ''}{problem['msg']}.") from error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml")) if folder.is_dir() else []
