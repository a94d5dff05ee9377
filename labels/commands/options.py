"""Options and helpers shared by the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightmeter.labels.targets.base import Target
    from lightmeter.project import Project

Author = Annotated[str | None, typer.Option(help="Author (default: your user name).")]
TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="Name of the target.")]


@contextmanager
def catalogue_engine(project: "Project") -> "Iterator[Engine]":
    """Open the catalogue of a project for the duration of a block."""
    from lightmeter.harvest.catalogue.session import open_engine

    engine = open_engine(project)
    try:
        yield engine
    finally:
        engine.dispose()


def find_target(name: str) -> "tuple[Project, Target[Any]]":
    """Return the current project and one of its targets."""
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    return project, get_target(name, project)
