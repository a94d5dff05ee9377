"""Write docs/performance.md from the results of the benchmarks."""

from collections.abc import Mapping
from typing import Any

from benchmarks.measurement import Goal, Row

HEAD = """# Performance

<!-- Written by `make bench`; changes are overwritten. -->

`make bench` measures everything on this page and writes it, in less than 30 minutes on two cores; `make bench
ONLY=NAME` measures one section. Each cell is the median of at least five measurements, with minimum and maximum in
parentheses. The rows of a table are measured in turn, so that other load on the machine affects all of them; ratios are
those of the medians. Programs that Lightmeter is compared with run in virtual environments of their own.

"""


def page(results: Mapping[str, dict[str, Any]]) -> str:
    """Return the page with all results."""
    return HEAD + "\n".join(section(name, result) for name, result in results.items())


def section(name: str, result: Mapping[str, Any]) -> str:
    """Return the section of a benchmark."""
    rows = {key: Row(**value) for key, value in result.get("rows", {}).items()}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row.values))
    parts = [f"## {result.get('title', name)}", result.get("text", "").strip()]
    if columns:
        parts.append(measurements(rows, columns, result["digits"]))
    if goals := [goal_row(Goal(**goal), rows, column) for goal in result.get("goals", []) for column in goal["limits"]]:
        parts.append(table(("ratio", "", "reached", "goal"), goals))
    parts.append(result.get("notes", "").strip())
    parts += [f"{key}: {row.error}." for key, row in rows.items() if row.error]
    if "error" in result:
        parts.append(f"The benchmark did not end: {result['error']}")
    parts.append(provenance(name, result))
    return "\n\n".join(part for part in parts if part) + "\n"


def measurements(rows: Mapping[str, Row], columns: list[str], digits: int) -> str:
    """Return the table of medians, minima and maxima."""
    runs = max(len(values) for row in rows.values() for values in row.values.values())
    body = [
        (name, *(cell(row.values.get(column, []), digits, runs) for column in columns)) for name, row in rows.items()
    ]
    return table(("", *columns), body)


def cell(values: list[float], digits: int, runs: int) -> str:
    """Return median, minimum and maximum; also the number of runs where it is less than that of the others."""
    if not values:
        return "-"
    median = Row({"": values}).median("")
    fewer = f"; {len(values)} runs" if len(values) < runs else ""
    return f"{median:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f}{fewer})"


def goal_row(goal: Goal, rows: Mapping[str, Row], column: str) -> tuple[str, ...]:
    """Return the row of a goal: what was reached, and whether it is enough."""
    limit = goal.limits[column]
    wanted = f"{'at most' if goal.at_most else 'at least'} {limit:g}"
    empty = Row()
    value = rows.get(goal.row, empty).median(column)
    divisor = rows.get(goal.relative_to, empty).median(column) if goal.relative_to else 1.0
    if value is None or not divisor:
        return goal.text, column, "not measured", wanted
    ratio = value / divisor
    met = ratio <= limit if goal.at_most else ratio >= limit
    return goal.text, column, f"{ratio:,.2f}", f"{wanted}: {'met' if met else 'not met'}"


def provenance(name: str, result: Mapping[str, Any]) -> str:
    """Return when, where and with which versions a benchmark ran."""
    place = result["machine"]
    compared = "".join(f", {versions}" for versions in result["comparators"].values())
    return (
        f"`make bench ONLY={name}`, {result['date']}, commit {place['commit']}, on {place['machine']} (load "
        f"{place['load']} before); {place['system']}, {place['versions']}{compared}."
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
