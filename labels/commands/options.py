"""Options and helpers shared by the commands."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.project import Project, find_project
from lightmeter.terminal import completion

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightmeter.labels.targets.base import Target


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13
        return "unknown"


Author = Annotated[
    str, typer.Option(help="Author (default: your user name).", default_factory=_user_name, show_default=False)
]
TargetName = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="Name of the target.", autocompletion=completion.plugin_names("targets")),
]


@contextmanager
def catalogue_engine(project: Project) -> "Iterator[Engine]":
    """Open the catalogue of a project for the duration of a block."""
    from lightmeter.harvest.catalogue.database.session import open_engine

    engine = open_engine(project)
    try:
        yield engine
    finally:
        engine.dispose()


def find_target(name: str) -> "tuple[Project, Target[Any]]":
    """Return the current project and one of its targets."""
    from lightmeter.labels.targets.registry import get_target

    project = find_project()
    return project, get_target(name, project)
