"""Plugins: classes that installed packages offer under the entry-point groups ``lightmeter.*``."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from lightmeter.errors import LightmeterError, UsageError

Group = Literal["commands", "setup", "checks", "sources", "filters", "targets", "architectures"]


@dataclass(frozen=True)
class Plugin:
    """One installed plugin, not imported yet.

    Attributes:
        name: what people call it by.
        origin: the distribution that brought it.
        version: that distribution's version.
    """

    name: str
    origin: str
    version: str
    entry_point: EntryPoint

    def load(self) -> Any:
        """Import the plugin and return what its entry point names.

        Raises:
            LightmeterError: if it cannot be imported; other plugins are not affected.
        """
        try:
            return self.entry_point.load()
        except Exception as error:
            raise LightmeterError(
                f"The plugin '{self.name}' of {self.origin} {self.version} cannot be imported "
                f"({type(error).__name__}: {error}); repair or uninstall that package."
            ) from error


def installed(group: Group) -> dict[str, Plugin]:
    """Return the plugins of a group by name, in alphabetical order.

    Where two distributions offer the same name, Lightmeter's own wins: an add-on cannot take a built-in's place.
    """
    return {plugin.name: plugin for plugin in sorted(_found(group), key=lambda p: (p.name, p.origin == "lightmeter"))}


def get(group: Group, name: str) -> Plugin:
    """Return one plugin.

    Raises:
        UsageError: if no installed package offers it; the sentence names the nearest that exist.
    """
    plugins = installed(group)
    if name not in plugins:
        raise UsageError(unknown_name_message(group.removesuffix("s"), name, plugins))
    return plugins[name]


def unknown_name_message(kind: str, name: str, known: dict[str, Any] | list[str]) -> str:
    """Return the sentence for a name that does not exist, with the nearest ones that do."""
    near = get_close_matches(name, list(known), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}."
    return f"There is no {kind} '{name}'; {hint}"


def _found(group: Group) -> Iterator[Plugin]:
    for entry_point in entry_points(group=f"lightmeter.{group}"):
        dist = entry_point.dist
        yield Plugin(entry_point.name, dist.name if dist else "?", dist.version if dist else "?", entry_point)
