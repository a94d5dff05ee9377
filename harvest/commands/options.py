"""Options and helpers shared by commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from lightmeter.terminal import console


def _resolve(context: typer.Context, text: str) -> str:
    """Replace saved queries, where a query enters a command, so that what it records can be repeated elsewhere.

    Raises:
        UsageError: The query is invalid.
        LightmeterError: No photograph matches, whatever the command would do with them.
    """
    if context.resilient_parsing or not text.strip():
        return text
    from lightmeter.harvest.catalogue.lookup import check_matches
    from lightmeter.harvest.catalogue.query.saved import resolve_query
    from lightmeter.project import find_project

    query = resolve_query(text, project := find_project())
    check_matches(project, query)
    return query


Where = Annotated[
    str,
    typer.Option(
        metavar="QUERY",
        callback=_resolve,
        help='Only photographs matching a query, for example "f:2.8-4 iso:100-400" or "iso <= 400 and not monochrome".',
    ),
]


@contextmanager
def progress_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; the block gets a function that advances it."""
    with console.get_console().progress() as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)
