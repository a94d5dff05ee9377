"""Targets, the rules that apply them, and how the labels spread."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.errors import UsageError
from lightmeter.labels.commands.options import Where, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from lightmeter.labels.annotations.rules import Outcome
    from lightmeter.labels.annotations.statistics import Statistics

app = CommandGroup()

_BAR = 30
_BARS = 24


@app.command()
def targets() -> None:
    """List what photographs can be examples of."""
    from lightmeter.labels.targets.registry import list_targets as all_targets
    from lightmeter.project import find_optional_project

    entries = all_targets(find_optional_project())
    document = [
        {
            "name": name,
            "version": entry.target.version,
            "summary": entry.target.definition.summary,
            "classes": entry.target.classes,
            "min_per_class": entry.target.definition.min_per_class,
            "multilabel": entry.target.multilabel,
            "unit": entry.target.unit,
            "origin": entry.origin,
            "file": entry.file,
        }
        for name, entry in entries.items()
    ]
    rows = [(row["name"], row["version"], row["summary"], row["origin"]) for row in document]
    console.get_console().emit(
        document,
        [
            console.table("", ("target", "version", "classes", "from"), rows),
            "To change one, copy its file (see --json) into the folder 'targets' of your project and edit it there.",
        ],
    )


@app.command()
def apply(
    names: Annotated[list[str], typer.Argument(metavar="TARGET...", help="Targets whose rules to apply.")],
    where: Where = "",
) -> None:
    """Label photographs by rule; what is labelled the same already stays as it is."""
    from lightmeter.labels.annotations.rules import apply as apply_rules
    from lightmeter.labels.annotations.rules import count_photographs
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    chosen = [get_target(name, project) for name in dict.fromkeys(names)]
    with catalogue(project) as engine, console.get_console().progress() as progress:
        task = progress.add_task("labelling", total=count_photographs(engine, where))
        outcomes = apply_rules(engine, chosen, where, lambda done: progress.advance(task, done))
    console.get_console().emit(
        {name: vars(outcome) for name, outcome in outcomes.items()},
        [_outcome(name, outcome) for name, outcome in outcomes.items()],
    )


def _outcome(name: str, outcome: "Outcome") -> str:
    labelled = outcome.labelled.total()
    said = (
        f"{name}: {labelled} of {outcome.photographs} photographs have a class; {outcome.added} labels written, "
        f"{outcome.taken_back} taken back."
    )
    return "\n".join([said, *(f"  left out: {count} {reason}" for reason, count in outcome.left_out.most_common())])


@app.command()
def stats(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="A target.")],
    where: Where = "",
    plot: Annotated[Path | None, typer.Option(help="Also draw it: a file that ends in .png.")] = None,
) -> None:
    """Show how the values and labels of a target spread, and what is left out and why."""
    from lightmeter.labels.annotations.statistics import statistics
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(f"--plot {plot} is wrong: the file's name must end in .png.")
    project = find_project()
    target = get_target(name, project)
    with catalogue(project) as engine:
        found = statistics(engine, target, where)
    if plot is not None:
        from lightmeter.labels.datasets.plots import plot_statistics

        plot_statistics(plot, target, found)
    values = _values(found, target.unit)
    known = {key: value for key, value in vars(found).items() if key not in ("binned", "unbinned")}
    console.get_console().emit(
        {"target": name, "version": target.version, **known, "unit": target.unit, "values": values, "plot": plot},
        [*_shown_values(target.unit, values), *_shown_classes(f"{name} {target.version}", found, plot)],
    )


def _values(found: "Statistics", unit: str) -> list[dict[str, float]]:
    """Return the histogram of the values before binning."""
    if not found.binned and not found.unbinned:
        return []
    edges, binned, unbinned = found.histogram(unit, _BARS)
    rows = zip(edges[:-1].tolist(), edges[1:].tolist(), binned.tolist(), unbinned.tolist(), strict=True)
    return [{"from": low, "to": high, "in_a_class": int(here), "left_out": int(out)} for low, high, here, out in rows]


def _shown_values(unit: str, values: list[dict[str, float]]) -> "Iterator[Table]":
    if values:
        most = max(row["in_a_class"] + row["left_out"] for row in values)
        rows = [
            (
                f"{row['from']:.2f} to {row['to']:.2f}",
                int(row["in_a_class"]),
                int(row["left_out"]),
                _bar(row["in_a_class"], most) + _bar(row["left_out"], most, "░"),
            )
            for row in values
        ]
        yield console.table("before binning", (unit, "in a class", "left out", ""), rows)


def _shown_classes(title: str, found: "Statistics", plot: Path | None) -> "Iterator[Table | str]":
    most = max([*found.classes.values(), 1])
    rows = [(one, count, _bar(count, most)) for one, count in found.classes.items()]
    yield console.table(title, ("class", "photographs", ""), rows)
    lines = [f"{found.labelled} of {found.photographs} photographs are labelled."]
    lines += [f"  by {origin}: {count}" for origin, count in found.origins.most_common()]
    lines += [f"  left out: {count} {reason}" for reason, count in found.left_out.most_common()]
    lines += [
        f"  the filter {one} would drop {count} of the labelled (--where 'not {one}' leaves them out)"
        for one, count in found.filtered.most_common()
        if count
    ]
    lines += [f"Drawn in {plot}."] * bool(plot)
    yield "\n".join(lines)


def _bar(count: float, most: float, mark: str = "█") -> str:
    return mark * round(_BAR * count / most)
