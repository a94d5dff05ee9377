"""Console output of commands: the result on standard output, progress and messages on standard error."""

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
    """Output options of a command.

    Attributes:
        json: Print one JSON document on standard output and nothing else there.
        quiet: Suppress progress and hints.
        debug: Show tracebacks.
        project: Folder given with ``--project``, if any.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False
    project: Path | None = None
    _printed: bool = field(default=False, repr=False)

    def emit(self, document: object, show: "RenderableType | Iterable[RenderableType]") -> None:
        """Print a command's result.

        Args:
            document: Result for ``--json``: anything that `json` can write, and paths, dates and pydantic models.
            show: Result for the terminal: text or rich renderables. Text is printed without markup, because file names
                may look like markup.
        """
        if self.json:
            print(json.dumps(document, ensure_ascii=False, indent=2, default=_to_json))  # noqa: T201
            self._printed = True
            return
        parts = [show] if isinstance(show, str) or not isinstance(show, Iterable) else show
        for part in parts:
            self._rich(stderr=False).print(part, soft_wrap=isinstance(part, str), markup=False)

    def note(self, text: str) -> None:
        """Print a hint on standard error."""
        if not self.quiet:
            self._rich(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)

    def fail(self, message: str) -> None:
        """Print an error message; with ``--json`` also ``{"error": message}``, unless a result was printed already."""
        rich = self._rich(stderr=True)
        rich.print("[bold red]lightmeter:[/] ", end="")
        rich.print(message, soft_wrap=True, markup=False, highlight=False)
        if self.json and not self._printed:
            print(json.dumps({"error": message}, ensure_ascii=False))  # noqa: T201

    @contextmanager
    def progress(self, *columns: str) -> "Iterator[Progress]":
        """Show progress on standard error while the block runs.

        Args:
            *columns: Additional columns as rich markup, for example ``"{task.fields[failed]} failed"``.
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


_console: ContextVar[Console] = ContextVar("console")


def get_console() -> Console:
    """Return the console of the running command, or a quiet one outside commands."""
    return _console.get(Console(quiet=True))


@contextmanager
def use_console(console: Console) -> Iterator[Console]:
    """Set the console for the duration of a block."""
    token = _console.set(console)
    try:
        yield console
    finally:
        _console.reset(token)


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """Return a rich table; numeric columns are right-aligned."""
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


def _to_json(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
