"""Tables whose titles and cells are never cut: long words, such as paths, break behind separators.

The module needs rich, which `lightmeter.terminal.console` imports only when something is printed.
"""

import re
from typing import Any

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.containers import Lines
from rich.table import Table
from rich.text import Text

_SEPARATORS = ("/\\", "_.,:;=&?@+-")
"""Words break behind the first kind, if they can, and else behind the second."""


class BreakableText(Text):
    """Text that wraps at white space, and within words that are longer than a line behind separators."""

    def wrap(self, console: Console, width: int, *args: Any, **options: Any) -> Lines:
        """Return the lines, each at most ``width`` columns wide."""
        return Text(break_words(self.plain, width), self.style).wrap(console, width, *args, **options)


class TitledTable(Table):
    """A table below a title, which may be wider than the table.

    Args:
        heading: The title; may be empty.
    """

    def __init__(self, heading: str) -> None:
        super().__init__(box=box.SIMPLE_HEAD)
        self._heading = BreakableText(heading, "bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._heading:
            yield self._heading
        yield from super().__rich_console__(console, options)


def break_words(text: str, width: int) -> str:
    r"""Break words that are longer than a line.

    Args:
        text: Text without control characters.
        width: Columns of a line.

    Example:
        >>> break_words("see /home/someone/report.html", 16)
        'see /home/someone/\\nreport.html'
    """

    def broken(match: re.Match[str]) -> str:
        word, lines = match[0], []
        while cell_len(word) > width:
            start = chop_cells(word, width)[0] or word[:1]
            ends = (max(map(start.rfind, separators)) + 1 for separators in _SEPARATORS)
            end = next(filter(None, ends), len(start))
            lines.append(word[:end])
            word = word[end:]
        return "\n".join([*lines, word])

    return re.sub(r"\S+", broken, text) if width > 0 else text
