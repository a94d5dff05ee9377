"""Registry of targets: the definition files of installed plugins, overridden by those of the project."""

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
"""Folder of a project that holds its own definition files."""


@dataclass(frozen=True)
class RegisteredTarget:
    """A target with the file that defines it.

    Attributes:
        file: Definition file.
        origin: Name of the distribution that contains the file, or ``project``.
        target: The target.
    """

    file: Path
    origin: str
    target: Target[Any]


def list_targets(project: Project | None = None) -> dict[str, RegisteredTarget]:
    """Return all targets by name; definitions of the project replace those of plugins with the same name.

    Raises:
        UsageError: A definition file is invalid.
    """
    types = plugins.installed("targets")
    folders = {
        Path(inspect.getfile(plugin.load())).parent / "definitions": plugin.distribution for plugin in types.values()
    }
    if project:
        folders[project.root / FOLDER] = "project"
    entries: dict[str, RegisteredTarget] = {}
    for folder, origin in folders.items():
        for file in sorted(folder.glob("*.toml")):
            entry = RegisteredTarget(file, origin, _read(file, types))
            if origin == "project" or entry.target.name not in entries:
                entries[entry.target.name] = entry
    return dict(sorted(entries.items()))


def get_target(name: str, project: Project | None = None) -> Target[Any]:
    """Return a target by name.

    Args:
        name: Name of the target.
        project: Project whose own definitions are used as well.

    Raises:
        UsageError: There is no such target; the message suggests the nearest name.

    Example:
        >>> get_target("shutter-binary").classes
        ('fast', 'slow')
    """
    entries = list_targets(project)
    if name not in entries:
        raise UsageError(plugins.unknown_name_message("target", name, list(entries)))
    return entries[name].target


def _read(file: Path, types: Mapping[str, Plugin]) -> Target[Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from error
    name = str(values.get("plugin", ""))
    if name not in types:
        raise UsageError(f"{file}: {plugins.unknown_name_message('target plugin', name, list(types))}")
    target_type: type[Target[Any]] = types[name].load()
    try:
        return target_type(target_type.definition_type.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{file}: {key + ': ' if key else ''}{problem['msg']}.") from error
