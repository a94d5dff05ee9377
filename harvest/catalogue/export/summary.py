"""Count photographs by the values of columns, as tables and as a page of plots."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from lightmeter.harvest.catalogue.export.columns import Column
from lightmeter.harvest.catalogue.export.export import TableOptions, open_table
from lightmeter.harvest.catalogue.export.markup import escape_html, html_page
from lightmeter.text.names import common_spellings

DEFAULT_COLUMNS = (
    "camera", "lens", "nominal_aperture", "nominal_shutter", "nominal_iso", "focal_length", "year", "owner", "licence",
)  # fmt: skip
"""Columns that are summarised if none are chosen."""

UNKNOWN = "unknown"
MAX_BARS = 25
"""Values of a column that are drawn; the others are one bar."""

_BARS, _ROW, _COUNT, _CHARACTER = 240, 22, 60, 8  # pixels of a plot
_MAX_LABEL = 30
_NUMBER = re.compile(r"[\d.]+")


@dataclass(frozen=True)
class Summary:
    """How often each value of a column occurs.

    Attributes:
        column: The column.
        counts: Number of photographs by value as people write it: the most frequent first, numbers and dates in order.
        unknown: Number of photographs without a value.
    """

    column: Column
    counts: dict[str, int]
    unknown: int

    def shown(self) -> Iterator[tuple[str, int]]:
        """Yield the values to show: of many the most frequent, the others together, and those unknown."""
        frequent = {name for name, _ in Counter(self.counts).most_common(MAX_BARS)}
        yield from ((name, count) for name, count in self.counts.items() if name in frequent)
        others = [count for name, count in self.counts.items() if name not in frequent]
        if others:
            yield f"{len(others)} others", sum(others)
        if self.unknown:
            yield UNKNOWN, self.unknown


def summarise(engine: Engine, options: TableOptions) -> tuple[int, list[Summary]]:
    """Count photographs by columns; a photograph with several sightings counts once, as it was first found.

    Args:
        engine: Catalogue engine.
        options: Columns and selection.

    Returns:
        Number of photographs, and a summary of each column.

    Raises:
        UsageError: A column is unknown.
    """
    images: set[int] = set()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    order: dict[str, dict[str, float]] = defaultdict(dict)
    with engine.connect() as connection:
        columns, batches = open_table(connection, options, for_people=True)
        for row in (row for batch in batches for row in batch):
            if row["image_id"] in images:
                continue
            images.add(row["image_id"])
            for column in columns:
                text = column.text(row)
                counts[column.name][text] += 1
                if text and text not in order[column.name]:
                    order[column.name][text] = _position(column, row, text)
    return len(images), [_summary(column, counts[column.name], order[column.name]) for column in columns]


def write_page(photographs: int, summaries: Sequence[Summary], where: str) -> str:
    """Return a page with a plot and a table of each summary, which needs no other file."""
    selected = f" that match <code>{escape_html(where)}</code>" if where else ""
    answer = f'<p class="answer">{photographs:,} photographs{selected}. {escape_html(_highlights(summaries))}</p>'
    sections = "".join(_section(summary) for summary in summaries)
    return html_page("Photographs", f"{answer}\n{sections}")


def _position(column: Column, row: dict[str, object], text: str) -> float:
    """Return where a value stands among the numbers of its column; of other columns 0."""
    if column.is_written_number or column.type in (int, float):
        value = row.get(column.keys[0])
        return float(value) if isinstance(value, int | float) else 0.0
    number = _NUMBER.match(text) if column.keys == ("taken_at",) else None
    return float(text.replace("-", "")[:8].ljust(8, "0")) if number else 0.0


def _summary(column: Column, counts: Counter[str], order: dict[str, float]) -> Summary:
    unknown = counts.pop("", 0)
    if column.type is str:
        spellings = common_spellings(counts)
        counts = Counter(spellings[name] for name in counts.elements())
    ranked = sorted(counts.items(), key=lambda item: (order.get(item[0], 0.0), -item[1], item[0]))
    return Summary(column, dict(ranked), unknown)


def _highlights(summaries: Sequence[Summary]) -> str:
    """Return the most frequent value of each column, as a sentence."""
    parts = []
    for summary in summaries:
        if summary.counts:
            name, count = max(summary.counts.items(), key=lambda item: item[1])
            share = count / (sum(summary.counts.values()) + summary.unknown)
            parts.append(f"{summary.column.title}: {name} ({100 * share:.0f} %)")
    return f"Most frequent: {', '.join(parts)}." if parts else "None of these values is known."


def _section(summary: Summary) -> str:
    rows = list(summary.shown())
    if not rows:
        return ""
    title = escape_html(f"{summary.column.title}: photographs by value")
    total = sum(summary.counts.values())
    note = f"{total:,} known, {summary.unknown:,} unknown; {len(summary.counts):,} different values."
    cells = "".join(f"<tr><td>{escape_html(name)}<td>{count:,}\n" for name, count in summary.counts.items())
    return (
        f'<section><h2>{title}</h2>\n<p class="note">{note}</p>\n<div class="plots">{_bars(title, rows)}</div>\n'
        f'<details><summary>Table</summary><div class="table"><table>\n<tr><th scope="col">'
        f'{escape_html(summary.column.title)}<th scope="col">Photographs\n{cells}</table></div></details></section>\n'
    )


def _bars(title: str, rows: Sequence[tuple[str, int]]) -> str:
    """Return a bar chart as SVG, in the colours of the page."""
    highest = max(count for _, count in rows)
    labels = [name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…" for name, _ in rows]
    left = _CHARACTER * (max(map(len, labels)) + 1)  # no wider than necessary: the plot shrinks on a narrow screen
    width, height = left + _BARS + _COUNT, len(rows) * _ROW
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [f'<svg role="img" aria-label="{title}" {size} font-size="13" fill="currentColor">']
    for number, (label, (name, count)) in enumerate(zip(labels, rows, strict=True)):
        y, length = number * _ROW, max(1.0, _BARS * count / highest)
        colour = "var(--muted)" if name == UNKNOWN else "var(--accent)"
        parts.append(
            f'<g><title>{escape_html(name)}: {count:,}</title><text x="{left - 8}" y="{y + 15}" text-anchor="end">'
            f'{escape_html(label)}</text><rect x="{left}" y="{y + 3}" width="{length:.1f}" height="{_ROW - 6}" '
            f'style="fill: {colour}"/><text x="{left + length + 6:.1f}" y="{y + 15}">{count:,}</text></g>'
        )
    return "".join([*parts, "</svg>"])
