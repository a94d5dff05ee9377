"""Photographs that a query selects, for layers that know no catalogue."""

from collections.abc import Iterator
from importlib.metadata import entry_points

from lightmeter.project import Project

_GROUP = "lightmeter.selection"


def select_photographs(project: Project, where: str) -> Iterator[str]:
    """Yield the SHA-256 of the readable photographs that match a query, in an order that stays.

    Args:
        project: The project.
        where: Query as for ``--where``; empty for all photographs.

    Raises:
        UsageError: The query is invalid.
        LightmeterError: No photograph matches.
    """
    (catalogue,) = entry_points(group=_GROUP, name="catalogue")
    selected: Iterator[str] = catalogue.load()(project, where)
    return selected
