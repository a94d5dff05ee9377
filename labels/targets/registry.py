"""Registry of targets: the definition files of installed plugins, overridden by those of the project."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import Plugin
from lightmeter.project import TARGETS, Project
from lightmeter.text.documents import read_toml


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
    entries: dict[str, RegisteredTarget] = {}
    for (folder, distribution), names in plugins.definition_folders("targets").items():
        for entry in _read_folder(folder, distribution, types, names):
            entries.setdefault(entry.target.name, entry)
    if project:
        entries |= _unique(_read_folder(project.root / TARGETS, "project", types))
    return dict(sorted(entries.items()))


def _read_folder(
    folder: Path, origin: str, types: Mapping[str, Plugin], names: Collection[str] = ()
) -> Iterator[RegisteredTarget]:
    """Yield the targets that the files of a folder define.

    Args:
        folder: Folder of definition files.
        origin: Distribution of the folder, or ``project``.
        types: Target plugins by name.
        names: Plugins of the distribution. Beside a plugin that is a single module, in ``site-packages``, other
            packages may have files; those that name no such plugin are not ours.
    """
    is_shared = bool(names) and not (folder.parent / "__init__.py").is_file()
    for file in sorted(folder.glob("*.toml")):
        values = read_toml(file)
        if not is_shared or values.get("plugin") in names:
            yield RegisteredTarget(file, origin, _target(file, values, types))


def _unique(entries: Iterable[RegisteredTarget]) -> dict[str, RegisteredTarget]:
    """Return targets by name.

    Raises:
        UsageError: Two files define one target.
    """
    by_name: dict[str, RegisteredTarget] = {}
    for entry in entries:
        other = by_name.setdefault(entry.target.name, entry)
        if other is not entry:
            raise UsageError(
                f"{other.file} and {entry.file.name} both define the target '{entry.target.name}'; remove one of them."
            )
    return by_name


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


def _target(file: Path, values: Mapping[str, Any], types: Mapping[str, Plugin]) -> Target[Any]:
    name = str(values.get("plugin", ""))
    if name not in types:
        raise UsageError(f"{file}: {plugins.unknown_name_message('target plugin', name, list(types))}")
    target_type: type[Target[Any]] = types[name].load()
    try:
        return target_type(target_type.definition_type.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{file}: {key + ': ' if key else ''}{message}.") from error
