"""Finding targets: definition files beside the plugins, and those of the project, which win."""

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import Plugin
from lightmeter.project import Project

FOLDER = "targets"
"""Folder of a project that holds its own definitions."""


@dataclass(frozen=True)
class RegisteredTarget:
    """One definition file and the target that it makes."""

    file: Path
    origin: str
    target: Target[Any]


def list_targets(project: Project | None = None) -> dict[str, RegisteredTarget]:
    """Return every target by name: those that plugins bring, then the project's, which replace one of the same name.

    Raises:
        UsageError: if a file of the project is wrong.
    """
    kinds = plugins.installed("targets")
    folders = {_definitions_of(plugin): plugin.origin for plugin in kinds.values()}
    if project:
        folders[project.root / FOLDER] = "project"
    entries: dict[str, RegisteredTarget] = {}
    for folder, origin in folders.items():
        for file in sorted(folder.glob("*.toml")):
            entry = RegisteredTarget(file, origin, _read(file, kinds))
            if origin == "project" or entry.target.name not in entries:
                entries[entry.target.name] = entry
    return dict(sorted(entries.items()))


def get_target(name: str, project: Project | None = None) -> Target[Any]:
    """Return one target.

    Raises:
        UsageError: if there is none of that name; the sentence names the nearest.
    """
    entries = list_targets(project)
    if name not in entries:
        raise UsageError(plugins.unknown_name_message("target", name, list(entries)))
    return entries[name].target


def _definitions_of(plugin: Plugin) -> Path:
    return Path(inspect.getfile(plugin.load())).parent / "definitions"


def _read(file: Path, kinds: Mapping[str, Plugin]) -> Target[Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from error
    by = str(values.get("by", ""))
    if by not in kinds:
        raise UsageError(f"{file}: {plugins.unknown_name_message('target plugin', by, list(kinds))}")
    kind: type[Target[Any]] = kinds[by].load()
    try:
        return kind(kind.reads.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{file}: {where + ': ' if where else ''}{problem['msg']}.") from error
