"""Plugins: classes that installed packages provide under the entry-point groups ``lightmeter.*``."""

import inspect
import sys
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, get_args

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.terminal.console import get_console

Group = Literal["commands", "sources", "filters", "targets", "architectures"]


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, not imported yet.

    Attributes:
        name: Name of the entry point.
        distribution: Distribution that provides it.
        version: Version of that distribution.
        entry_point: The entry point.
    """

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def load(self) -> Any:
        """Import the plugin and return the object that its entry point names.

        Raises:
            LightmeterError: The plugin cannot be imported. Other plugins are not affected.
        """
        try:
            return self.entry_point.load()
        except Exception as error:
            raise LightmeterError(
                f"The plugin '{self.name}' of {self.distribution} {self.version} cannot be imported "
                f"({type(error).__name__}: {error}); repair or uninstall that package."
            ) from error


def installed(group: Group) -> dict[str, Plugin]:
    """Return the plugins of a group by name, in alphabetical order.

    If two distributions provide the same name, Lightmeter's own plugin wins: an add-on cannot replace a built-in one.
    """
    plugins = _plugins(tuple(sys.path))[group]
    return {plugin.name: plugin for plugin in sorted(plugins, key=lambda p: (p.name, p.distribution == "lightmeter"))}


def get(group: Group, name: str) -> Plugin:
    """Return a plugin by name.

    Raises:
        UsageError: No installed package provides it; the message suggests similar names.
    """
    plugins = installed(group)
    if name not in plugins:
        raise UsageError(unknown_name_message(group.removesuffix("s"), name, plugins))
    return plugins[name]


def definition_folders(group: Group) -> dict[tuple[Path, str], set[str]]:
    """Return the folders ``definitions`` beside the modules of plugins.

    Plugins that cannot be imported are reported and left out.

    Returns:
        The names of the plugins by folder and distribution.
    """
    folders: defaultdict[tuple[Path, str], set[str]] = defaultdict(set)
    for name, plugin in installed(group).items():
        try:
            module = Path(inspect.getfile(plugin.load()))
        except LightmeterError as error:
            get_console().note(str(error))
            continue
        folders[module.parent / "definitions", plugin.distribution].add(name)
    return folders


def unknown_name_message(kind: str, name: str, existing: Collection[str]) -> str:
    """Return the error message for an unknown name, with similar names or, if there are none, all of them.

    Example:
        >>> unknown_name_message("target", "shuter", ["aperture", "shutter"])
        "Unknown target 'shuter'; did you mean shutter?"
    """
    similar = nearest_names(name, existing)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"available: {', '.join(existing) or 'none'}."
    return f"Unknown {kind} '{name}'; {hint}"


def nearest_names(name: str, existing: Collection[str]) -> list[str]:
    """Return up to three names that resemble one, whatever its case."""
    by_key = {other.casefold(): other for other in existing}
    return [by_key[key] for key in get_close_matches(name.casefold(), by_key, n=3)]


@cache
def _plugins(_path: tuple[str, ...]) -> dict[Group, list[Plugin]]:
    """Return the plugins on the module search path by group.

    All groups are read at once, and the metadata of each distribution once: both take a tenth of a second otherwise.
    """
    existing = entry_points()
    providers: dict[int, tuple[str, str]] = {id(None): ("an unknown package", "")}

    def provider(distribution: Distribution | None) -> tuple[str, str]:
        if distribution and id(distribution) not in providers:
            providers[id(distribution)] = distribution.name, distribution.version
        return providers[id(distribution)]

    return {
        group: [Plugin(item.name, *provider(item.dist), item) for item in existing.select(group=f"lightmeter.{group}")]
        for group in get_args(Group)
    }
