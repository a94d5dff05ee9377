"""Registry of targets: the definition files of installed plugins, overridden by those of the project."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lightmeter import plugins
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.labels.targets.base import Target
from lightmeter.plugins import Plugin
from lightmeter.project import TARGETS, Project
from lightmeter.terminal.console import get_console
from lightmeter.text.documents import read_toml, toml_files

_PROBLEMS = {
    "missing": "the key is missing",
    "extra_forbidden": "there is no such key",
    "too_short": "at least {min_length} are needed, not {actual_length}",
    "too_long": "at most {max_length} are allowed, not {actual_length}",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "string_type": "must be text in quotation marks",
    "string_pattern_mismatch": "must be lower-case letters, digits and hyphens, and begin with a letter",
}
"""Messages by the type of a pydantic error; its own messages are for programmers."""


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


@dataclass(frozen=True)
class InvalidTarget:
    """A definition file that cannot be used; the others are not affected.

    Attributes:
        name: Name of the target that it would define.
        file: Definition file.
        problem: What is wrong, as a sentence that names the file.
    """

    name: str
    file: Path
    problem: str


def list_targets(project: Project | None = None) -> dict[str, RegisteredTarget]:
    """Return all valid targets by name; definitions of the project replace those of plugins with the same name.

    Definition files of the project that are not valid are reported as hints.
    """
    targets, invalid = read_targets(project)
    for entry in invalid.values():
        get_console().note(f"Target '{entry.name}' is left out: {entry.problem}")
    return targets


def read_targets(project: Project | None = None) -> tuple[dict[str, RegisteredTarget], dict[str, InvalidTarget]]:
    """Return the valid targets, and those of the project that are not valid, by name.

    A target of a plugin that an invalid file would replace is in neither, so that it is not used by mistake.
    """
    types = plugins.installed("targets")
    entries: dict[str, RegisteredTarget] = {}
    invalid: dict[str, InvalidTarget] = {}
    for (folder, distribution), names in plugins.definition_folders("targets").items():
        for entry in _read_folder(folder, distribution, types, names):
            if isinstance(entry, InvalidTarget):
                raise UsageError(entry.problem)
            entries.setdefault(entry.target.name, entry)
    own: dict[str, RegisteredTarget] = {}
    for entry in _read_folder(project.root / TARGETS, "project", types) if project else ():
        name = entry.name if isinstance(entry, InvalidTarget) else entry.target.name
        if isinstance(entry, InvalidTarget):
            invalid[name] = entry
        elif name in own:
            problem = f"{own[name].file} and {entry.file.name} both define the target '{name}'; remove one of them."
            invalid[name] = InvalidTarget(name, entry.file, problem)
        else:
            own[name] = entry
    valid = {name: entry for name, entry in (entries | own).items() if name not in invalid}
    return dict(sorted(valid.items())), invalid


def _read_folder(
    folder: Path, origin: str, types: Mapping[str, Plugin], names: Collection[str] = ()
) -> Iterator[RegisteredTarget | InvalidTarget]:
    """Yield the targets that the files of a folder define.

    Args:
        folder: Folder of definition files.
        origin: Distribution of the folder, or ``project``.
        types: Target plugins by name.
        names: Plugins of the distribution. Beside a plugin that is a single module, in ``site-packages``, other
            packages may have files; those that name no such plugin are not ours.
    """
    is_shared = bool(names) and not (folder.parent / "__init__.py").is_file()
    for file in toml_files(folder):
        values: Mapping[str, Any] = {}
        try:
            values = read_toml(file)
            if not is_shared or values.get("by") in names:
                yield RegisteredTarget(file, origin, make_target(file, values, types))
        except LightmeterError as error:
            yield InvalidTarget(str(values.get("name") or file.stem), file, str(error))


def get_target(name: str, project: Project | None = None) -> Target[Any]:
    """Return a target by name.

    Args:
        name: Name of the target.
        project: Project whose own definitions are used as well.

    Raises:
        UsageError: There is no such target, and the message suggests the nearest name; or its file is not valid.

    Example:
        >>> get_target("shutter-binary").classes
        ('fast', 'slow')
    """
    entries, invalid = read_targets(project)
    if name in invalid:
        raise UsageError(invalid[name].problem)
    if name not in entries:
        raise UsageError(plugins.unknown_name_message("target", name, list(entries)))
    return entries[name].target


def make_target(file: Path, values: Mapping[str, Any], types: Mapping[str, Plugin]) -> Target[Any]:
    """Return the target that a definition file defines.

    Args:
        file: The file, for messages.
        values: Its content.
        types: Target plugins by name.

    Raises:
        UsageError: The definition is not valid.
    """
    name = str(values.get("by", ""))
    if not name:
        raise UsageError(f"{file}: the key 'by' is missing; by = \"manual\" is for labels by hand.")
    if name not in types:
        raise UsageError(f"{file}: {plugins.unknown_name_message('target plugin', name, list(types))}")
    target_type: type[Target[Any]] = types[name].load()
    try:
        return target_type(target_type.definition_type.model_validate(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        template = _PROBLEMS.get(problem["type"], "")
        message = template.format_map(problem.get("ctx", {})) or problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{file}: {key + ': ' if key else ''}{message}.") from error
