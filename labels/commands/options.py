"""Options that several commands take."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from lightmeter.project import Project

Where = Annotated[
    str, typer.Option(help='Only photographs that a query chooses, such as "iso <= 400 and not monochrome".')
]
Author = Annotated[str | None, typer.Option(help="Who says so; else your name on this machine.")]


@contextmanager
def catalogue(project: "Project") -> "Iterator[Engine]":
    """Open a project's catalogue for a block."""
    from lightmeter.harvest.catalogue.session import open_engine

    engine = open_engine(project)
    try:
        yield engine
    finally:
        engine.dispose()
