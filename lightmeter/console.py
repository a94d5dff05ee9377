"""What a command says: one JSON document or something to read on standard output, everything else on standard error."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress
    from rich.table import Table


@dataclass
class Console:
    """Where one command's output goes.

    Attributes:
        json: print one JSON document on standard output, and nothing else there.
        quiet: no progress and no notes.
        debug: show tracebacks.
        project: the folder given with ``--project``, if any.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False
    project: Path | None = None
    _printed: bool = field(default=False, repr=False)

    def emit(self, document: object, show: "RenderableType | Iterable[RenderableType]") -> None:
        """Print a command's result.

        Args:
            document: what ``--json`` prints; anything that ``json`` knows, and paths, dates and models.
            show: what a person sees instead; words stand as they are, since names of files may look like markup.
        """
        if self.json:
            print(json.dumps(document, ensure_ascii=False, indent=2, default=_plain))  # noqa: T201
            self._printed = True
            return
        parts = [show] if isinstance(show, str) or not isinstance(show, Iterable) else show
        for part in parts:
            self._rich(stderr=False).print(part, soft_wrap=isinstance(part, str), markup=False)

    def note(self, text: str) -> None:
        """Tell a person something in passing, on standard error."""
        if not self.quiet:
            self._rich(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)

    def fail(self, sentence: str) -> None:
        """Print the sentence of an error; with ``--json`` also ``{"error": sentence}`` if nothing was printed yet."""
        rich = self._rich(stderr=True)
        rich.print("[bold red]lightmeter:[/] ", end="")
        rich.print(sentence, soft_wrap=True, markup=False, highlight=False)
        if self.json and not self._printed:
            print(json.dumps({"error": sentence}, ensure_ascii=False))  # noqa: T201

    @contextmanager
    def progress(self, *columns: str) -> "Iterator[Progress]":
        """Show progress on standard error while the block runs.

        Args:
            columns: further columns as rich markup, for example ``"{task.fields[failed]} failed"``.
        """
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        rich = self._rich(stderr=True)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *(TextColumn(column) for column in columns),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=rich,
            disable=self.quiet or self.json or not rich.is_terminal,
            transient=True,
        ) as progress:
            yield progress

    def _rich(self, *, stderr: bool) -> "RichConsole":
        from rich.console import Console as RichConsole

        return RichConsole(stderr=stderr)


_current: ContextVar[Console] = ContextVar("console")


def get_console() -> Console:
    """Return the console of the command that is running; outside one (in a library) a quiet one."""
    return _current.get(Console(quiet=True))


@contextmanager
def use_console(console: Console) -> Iterator[Console]:
    """Make a console the current one for a block."""
    token = _current.set(console)
    try:
        yield console
    finally:
        _current.reset(token)


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """Return a table to read; numbers stand right."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    rows = [list(row) for row in rows]
    result = Table(title=escape(title) or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for index, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        result.add_column(escape(heading), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*(_cell(value) for value in row))
    return result


def _cell(value: object) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(str(value))


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
