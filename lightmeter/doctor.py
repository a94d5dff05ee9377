"""What ``lightmeter doctor`` reports. Each floor adds its own checks through the group ``lightmeter.doctor``."""

import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from lightmeter import __version__, plugins
from lightmeter.errors import LightmeterError
from lightmeter.project import Project


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        what: the thing looked at.
        state: ``fine``; ``missing`` (something optional is not there); ``broken`` (something needed does not work).
        found: what was found.
        to_do: what a person can do about it, if anything.
    """

    what: str
    state: Literal["fine", "missing", "broken"]
    found: str
    to_do: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the check as JSON has it."""
        return asdict(self)


def run_checks(project: Project | None) -> list[Check]:
    """Run every check; one that breaks is itself reported.

    Args:
        project: the project looked at, or None outside one.
    """
    return [*_ground(project), *_plugins(), *_floors(project)]


def _ground(project: Project | None) -> Iterator[Check]:
    yield Check("lightmeter", "fine", f"{__version__}, Python {platform.python_version()} ({sys.executable})")
    if project is None:
        yield Check("project", "missing", "none here", "make one: lightmeter init")
        return
    try:
        name = project.settings.project.name
        yield Check("project", "fine", f"{name} ({project.root})")
    except LightmeterError as error:
        yield Check("project", "broken", str(error), "correct lightmeter.toml")


def _plugins() -> Iterator[Check]:
    groups: tuple[plugins.Group, ...] = ("sources", "filters", "targets", "architectures")
    for group in groups:
        names = []
        for plugin in plugins.installed(group).values():
            try:
                plugin.load()
                names.append(plugin.name)
            except LightmeterError as error:
                yield Check(f"{group}: {plugin.name}", "broken", str(error), f"repair or uninstall {plugin.origin}")
        yield Check(group, "fine", ", ".join(names))


def _floors(project: Project | None) -> Iterator[Check]:
    for plugin in plugins.installed("checks").values():
        try:
            yield from plugin.load()(project)
        except LightmeterError as error:
            yield Check(plugin.name, "broken", str(error))
