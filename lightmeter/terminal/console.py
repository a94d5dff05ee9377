"""Console output of commands: the result on standard output, progress and messages on standard error."""

import codecs
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # control characters except tab
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # invisible characters and changes of direction
    "\ud800-\udfff]"  # surrogates: bytes of file names that are not UTF-8
)


_PIPE_WIDTH = 10_000  # columns of output that is not a terminal: nothing wraps
_ASCII = str.maketrans({
    "–": "-", "—": "-", "×": "x", "…": "...", "✓": "+", "✗": "x", "±": "+/-", "°": " degrees", "≤": "<=", "≥": ">=",
    "‘": "'", "’": "'", "“": '"', "”": '"', "Δ": "difference", "→": "->", "━": "-", "─": "-", "│": "|", "╭": "+",
    "╮": "+", "╰": "+", "╯": "+", "•": "*", "●": "*", "█": "#", "░": ":",
})  # fmt: skip


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
    _data_written: bool = field(default=False, repr=False)

    def emit(self, document: object, show: "RenderableType | Iterable[RenderableType]") -> None:
        """Print a command's result.

        Args:
            document: Result for ``--json``: anything that `json` can write, and paths, dates and pydantic models.
            show: Result for the terminal: lines of text or rich renderables. A line stays one, whatever the names in
                it contain, and is printed without markup, because file names may look like markup.
        """
        if self.json:
            self._print_json(document)
            return
        parts = [show] if isinstance(show, str) or not isinstance(show, Iterable) else show
        rich = self._rich(stderr=self._data_written)
        for part in parts:
            printable = escape_unprintable(part) if isinstance(part, str) else part
            rich.print(printable, soft_wrap=isinstance(part, str), markup=False)

    def write_data(self, content: BinaryIO) -> None:
        """Write a result file to standard output; the command's other output then goes to standard error."""
        sys.stdout.flush()
        if sys.stdout.isatty():
            for line in io.TextIOWrapper(content, "utf-8", errors="replace"):
                sys.stdout.write(escape_unprintable(line.removesuffix("\n")) + "\n" * line.endswith("\n"))
        else:
            shutil.copyfileobj(content, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        self._data_written = True

    def note(self, text: str) -> None:
        """Print a hint on standard error."""
        if not self.quiet:
            self._rich(stderr=True).print(escape_unprintable(text), soft_wrap=True, highlight=False, markup=False)

    def next_step(self, *args: object) -> None:
        """Suggest the command that usually comes next, on standard error.

        Args:
            *args: Its arguments, without ``lightmeter``.

        Example:
            >>> get_console().next_step("models", "evaluate", "patches-v1-1")
        """
        if not self.json:
            self.note(f"Next: lightmeter {' '.join(map(str, args))}")

    def fail(self, message: str, details: Sequence[str] = ()) -> None:
        """Print an error message; with ``--json`` also ``{"error": message}``, unless a result was printed already.

        Args:
            message: One sentence; it is printed on one line, whatever the names in it contain.
            details: Lines that are printed below it.
        """
        rich = self._rich(stderr=True)
        rich.print("[bold red]lightmeter:[/] ", end="")
        for line in (message, *(f"  {detail}" for detail in details)):
            rich.print(escape_unprintable(line), soft_wrap=True, markup=False, highlight=False)
        if self.json and not self._printed and not self._data_written:
            self._print_json({"error": message})

    def _print_json(self, document: object) -> None:
        text = json.dumps(_json_value(document), ensure_ascii=False, indent=2, allow_nan=False)
        lines = text.split("\n")  # those of the layout: line breaks in texts are escaped already
        text = "\n".join(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line) for line in lines)
        stream = sys.stderr if self._data_written else sys.stdout
        try:
            text.encode(stream.encoding or "utf-8")
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            text = json.dumps(_json_value(document), indent=2, allow_nan=False)
        print(text, file=stream)
        self._printed = True

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
        from rich.table import Column

        def fixed() -> Column:
            return Column(no_wrap=True, overflow="ignore", min_width=1)

        with Progress(
            TextColumn("{task.description}", table_column=fixed()),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),  # takes what the numbers leave
            MofNCompleteColumn(table_column=fixed()),
            *(TextColumn(column, table_column=fixed()) for column in columns),
            TimeElapsedColumn(table_column=fixed()),
            TimeRemainingColumn(table_column=fixed()),
            console=self._rich(stderr=True),
            disable=self.quiet or self.json or not self.is_interactive,
            transient=True,
            expand=True,
        ) as progress:
            yield progress

    @property
    def is_interactive(self) -> bool:
        """Whether standard error is a terminal, on which progress bars are shown instead of lines."""
        return self._rich(stderr=True).is_terminal

    def _rich(self, *, stderr: bool) -> "RichConsole":
        from rich.console import Console as RichConsole

        rich = RichConsole(stderr=stderr)
        return rich if rich.is_terminal else RichConsole(stderr=stderr, width=_PIPE_WIDTH)


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
    """Return a rich table; numeric columns are right-aligned.

    Without a terminal nothing wraps. On one, words that are longer than their column, such as paths, break behind
    separators.
    """
    from lightmeter.terminal.tables import TitledTable

    rows = [list(row) for row in rows]
    result = TitledTable(escape_unprintable(title))
    for index, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        result.add_column(_cell(heading), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*(_cell(value) for value in row))
    return result


def _cell(value: object) -> "Text":
    from lightmeter.terminal.tables import BreakableText

    if value is None:
        return BreakableText("–")
    return BreakableText(f"{value:.4g}" if isinstance(value, float) else escape_unprintable(str(value)))


def write_ascii(error: UnicodeError) -> tuple[str, int]:
    r"""Replace what an encoding lacks: signs by similar ones of ASCII, anything else by escapes such as ``\u20ac``.

    It is an error handler of codecs, for terminals that are not UTF-8.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("lightmeter-ascii", write_ascii)


def escape_unprintable(text: str) -> str:
    r"""Replace characters that would control a terminal, or begin a line, by escapes such as ``\x1b`` and ``\n``.

    Names, titles and owners come from strangers; in a terminal their control characters could hide or forge output.

    Example:
        >>> escape_unprintable("red: \x1b[31m")
        'red: \\x1b[31m'
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _json_value(value: object) -> Any:
    """Return a value as JSON has it: paths and dates as text, and null for numbers that JSON does not know."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_json_value(item) for item in value]
    if isinstance(value, Path | date):
        return str(value) if isinstance(value, Path) else value.isoformat()
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return _json_value(dump(mode="json"))
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
