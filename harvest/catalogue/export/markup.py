"""Tables for people: Markdown, LaTeX and HTML, with headings in words and numbers as photographers write them."""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from lightmeter.harvest.catalogue.export.columns import Column
from lightmeter.harvest.catalogue.export.rows import Rows
from lightmeter.style import STYLE_SHEET

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#$])")
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "*": "{*}", "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip
"""Characters with a meaning in LaTeX; ``[`` and ``*`` have one after the end of a row."""

_MAX_TABULAR_ROWS = 40
"""Rows that fit on a page; longer LaTeX tables are broken over pages."""

_SPLIT = "<!-- table -->"
_NUMBER_STYLE = ".number { text-align: right !important }"


def write_markdown(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write a table in GitHub Flavored Markdown."""
    with path.open("w", encoding="utf-8") as file:
        file.write(_markdown_row(column.title for column in columns))
        file.write(_markdown_row(("---:" if is_number(column) else "---" for column in columns), escape=str))
        for row in _rows(batches):
            file.write(_markdown_row(column.text(row) for column in columns))


def write_latex(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write a table to include in a text: ``tabular`` if it fits on a page, else ``longtable``, with booktabs."""
    batches = iter(batches)
    first = next(batches, [])
    is_long = len(first) > _MAX_TABULAR_ROWS
    environment = "longtable" if is_long else "tabular"
    alignment = "".join("r" if is_number(column) else "l" for column in columns)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"% \\usepackage{{booktabs{',longtable' if is_long else ''},textcomp}}; UTF-8, by lightmeter\n")
        file.write(f"\\begin{{{environment}}}{{{alignment}}}\n\\toprule\n")
        file.write(_latex_row(column.title for column in columns))
        file.write("\\midrule\n" + ("\\endhead\n\\bottomrule\n\\endfoot\n" if is_long else ""))
        for row in _rows(chain([first], batches)):
            file.write(_latex_row(column.text(row) for column in columns))
        file.write(("" if is_long else "\\bottomrule\n") + f"\\end{{{environment}}}\n")


def write_html(path: Path, columns: Sequence[Column], batches: Iterable[Rows]) -> None:
    """Write a page with one table, which needs no other file."""
    classes = [' class="number"' if is_number(column) else "" for column in columns]
    before, after = html_page("Photographs", _SPLIT).split(_SPLIT)
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{before}<div class="table"><table>\n')
        headings = (f'<th scope="col"{name}>{escape_html(c.title)}' for c, name in zip(columns, classes, strict=True))
        file.write(f"<thead>\n<tr>{''.join(headings)}\n<tbody>\n")
        for row in _rows(batches):
            cells = (f"<td{name}>{escape_html(c.text(row))}" for c, name in zip(columns, classes, strict=True))
            file.write(f"<tr>{''.join(cells)}\n")
        file.write(f"</table></div>{after}")


def html_page(title: str, body: str) -> str:
    """Return a page in the common style that needs no other file.

    Args:
        title: Title, as text.
        body: Content, as HTML.
    """
    style = f"{STYLE_SHEET.read_text(encoding='utf-8')}{_NUMBER_STYLE}"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape_html(title)}</title>\n<style>\n{style}</style>\n"
        f'<body class="document">\n<h1>{escape_html(title)}</h1>\n{body}\n</body>\n</html>\n'
    )


def is_number(column: Column) -> bool:
    """Return whether a column is aligned to the right: it holds numbers, also in photographers' notation."""
    return column.type in (int, float) or column.is_written_number


def escape_markdown(text: str) -> str:
    r"""Return text as Markdown shows it in a cell of a table.

    Example:
        >>> print(escape_markdown("a|b_c <br>"))
        a\|b\_c &lt;br&gt;
    """
    return _MARKDOWN.sub(r"\\\1", html.escape(_one_line(text), quote=False))


def escape_latex(text: str) -> str:
    r"""Return text as LaTeX typesets it.

    Example:
        >>> print(escape_latex("100 %_"))
        100 \%\_
    """
    escaped = "".join(_LATEX.get(character, character) for character in _one_line(text))
    return escaped.replace("--", "-{}-")  # which would be a dash


def escape_html(text: str) -> str:
    """Return text as HTML shows it."""
    return html.escape(_one_line(text))


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _markdown_row(cells: Iterable[str], escape: Callable[[str], str] = escape_markdown) -> str:
    return f"| {' | '.join(map(escape, cells))} |\n"


def _latex_row(cells: Iterable[str]) -> str:
    return f"{' & '.join(map(escape_latex, cells))} \\\\\n"


def _rows(batches: Iterable[Rows]) -> Iterator[dict[str, object]]:
    for batch in batches:
        yield from batch
