"""Write docs/performance.md from the results of the benchmarks."""

from collections.abc import Mapping
from typing import Any

from benchmarks.speed.measurement import Goal, Row

HEAD = """# Performance

<!-- Written by `make bench`; changes are overwritten. -->

`make bench` measures everything on this page and writes it, in less than 30 minutes on two cores; `make bench
ONLY=NAME` measures one section. Each cell is the median of at least five measurements, with minimum and maximum in
parentheses. The rows of a table are measured in turn, so that other load on the machine affects all of them; ratios are
those of the medians. Programs that Lightmeter is compared with run in virtual environments of their own.

"""


GPU_HEAD = """## GPU

`python -m benchmarks.speed.gpu --json benchmarks/speed/gpu.json`, in less than four minutes; the sections were measured
in three runs on the same kind of machine. Photographs are generated JPEG files of 1024 × 683 pixels; networks are
untrained. Features are one pass with reading and decoding; the other rates are medians of five (server: three)
measurements. The GPU's share of a training step is the time of its kernels in an epoch, divided by that of the epoch
without a profiler; "as trained" is with CUDA graphs, as `models train` does it. Differences are from
the answers of torch on the CPU, rounded to seven digits.
"""

GPU_NOTES = """
A network as small as `haoran-cnn` computes a batch faster than Python starts the next one, even as a graph. TF32 and
channels last would raise the rate of `lightmeter`'s network; but TF32 changes features, and with channels last the
features of 999 photographs came at 63 photographs/s, probably because cuDNN prepares its kernels for each shape.
"""

GPU_GOALS: tuple[tuple[str, str, dict[str, str], float], ...] = (
    # section, column, what identifies the row, goal
    ("features", "photographs/s", {}, 400.0),
    ("training", "GPU's share", {"recipe": "haoran-mobilenet", "passes": "as trained"}, 0.9),
)


def page(results: Mapping[str, dict[str, Any]], gpu: Mapping[str, Any] | None = None) -> str:
    """Return the page with all results, also those of `benchmarks.speed.gpu`."""
    sections = [section(name, result) for name, result in results.items()]
    return HEAD + "\n".join([*sections, *([gpu_section(gpu)] if gpu else [])])


def gpu_section(results: Mapping[str, Any]) -> str:
    """Return the section of what a GPU reaches."""
    parts = [GPU_HEAD.strip()]
    goals: list[tuple[str, ...]] = []
    for name, column, row, limit in GPU_GOALS:
        reached = [each[column] for each in results.get(name, []) if row.items() <= each.items()]
        met = f"at least {limit:g}: {'met' if reached and reached[-1] >= limit else 'not met'}"
        goals.append((name, ", ".join(row.values()), column, f"{reached[-1]:,.2f}" if reached else "not measured", met))
    parts.append(table(("goal", "", "", "reached", "limit"), goals))
    for name in ("features", "training", "network", "server"):
        rows = [row for row in results.get(name, []) if "error" not in row]
        if rows:
            body: list[tuple[str, ...]] = [tuple(_gpu_cell(value) for value in row.values()) for row in rows]
            parts.append(table((f"{name}: {next(iter(rows[0]))}", *list(rows[0])[1:]), body))
    parts.append(GPU_NOTES.strip())
    versions = ", ".join(f"{package} {version}" for package, version in results["versions"].items())
    parts.append(f"On one {results['device']} with {results['cores']} cores of the processor; {versions}.")
    return "\n\n".join(parts) + "\n"


def _gpu_cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.1f}" if value >= 100 else f"{value:.2g}"


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
    machine = result["machine"]
    compared = "".join(f", {versions}" for versions in result["comparators"].values())
    return (
        f"`make bench ONLY={name}`, {result['date']}, commit {machine['commit']}, on {machine['machine']} (load "
        f"{machine['load']} before); {machine['system']}, {machine['versions']}{compared}."
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
