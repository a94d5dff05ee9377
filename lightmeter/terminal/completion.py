"""Tab completion of the names of a project's runs, data sets, archives and servers, of recipes and of plugins.

Completion must answer at once and never fail: names are read from folders and entry points, without opening anything.
"""

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

from lightmeter import plugins
from lightmeter.errors import LightmeterError
from lightmeter.project import Project, find_optional_project

Complete = Callable[[str], list[str]]
"""Returns the names that begin with what was typed."""


def runs(incomplete: str) -> list[str]:
    """Return the names of the project's runs, and ``default``, the model that ships."""
    return _matching(incomplete, ["default"]) + _of_project(incomplete, lambda project: _folders(project.runs))


def datasets(incomplete: str) -> list[str]:
    """Return the names of the project's data sets, with folds as ``NAME/fold-1``."""
    return _of_project(
        incomplete,
        lambda project: (
            file.parent.relative_to(project.datasets).as_posix()
            for pattern in ("*/dataset.toml", "*/*/dataset.toml")
            for file in project.datasets.glob(pattern)
        ),
    )


def archives(incomplete: str) -> list[str]:
    """Return the names of the project's model archives."""
    return _of_project(incomplete, lambda project: (file.stem for file in project.archives.glob("*.mar")))


def servers(incomplete: str) -> list[str]:
    """Return the names of the project's servers."""
    return _of_project(incomplete, lambda project: _folders(project.state / "serve"))


def recipes(incomplete: str) -> list[str]:
    """Return the names of the recipes."""
    files = resources.files("lightmeter.models.recipes").iterdir()
    return _matching(incomplete, (file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def choices(*names: str) -> Complete:
    """Return the completion of fixed names."""
    return lambda incomplete: _matching(incomplete, names)


def plugin_names(group: plugins.Group) -> Complete:
    """Return the completion of the names of installed plugins."""
    return lambda incomplete: _matching(incomplete, plugins.installed(group))


def _of_project(incomplete: str, list_names: Callable[[Project], Iterable[str]]) -> list[str]:
    """Return matching names of the project that the command would use; none if it cannot be read."""
    try:
        project = find_optional_project()
        return _matching(incomplete, list_names(project)) if project else []
    except (LightmeterError, OSError):
        return []


def _folders(parent: Path) -> Iterable[str]:
    return (path.name for path in parent.iterdir() if path.is_dir())


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))
