"""Options shared by commands."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

Where = Annotated[
    str,
    typer.Option(
        metavar="QUERY", help='Only photographs matching a query, for example "iso <= 400 and not monochrome".'
    ),
]


def condition_of(where: str) -> "ColumnElement[bool] | None":
    """Return the condition on images for the option ``--where``, or None if it is empty.

    Raises:
        UsageError: The query is invalid.
    """
    from lightmeter.harvest.catalogue.query.parser import parse_where

    return parse_where(where) if where.strip() else None
