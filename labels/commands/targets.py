"""Commands for targets: list them, apply their rules, show statistics of their labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightmeter.errors import LightmeterError
from lightmeter.files import format_of
from lightmeter.harvest.commands.options import Where, progress_bar
from lightmeter.labels.commands.options import TargetName, catalogue_engine, find_target
from lightmeter.project import find_optional_project, find_project
from lightmeter.terminal import completion, console
from lightmeter.terminal.commands import CommandGroup, command_group
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from lightmeter.labels.annotations.rules import RuleResult
    from lightmeter.labels.annotations.statistics import Statistics

app = CommandGroup()
target_app = command_group("Create targets.")
app.add_typer(target_app, name="target")

_BAR_WIDTH = 30
_MAX_BINS = 24


@target_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name: lower-case letters, digits and hyphens.")],
    classes: Annotated[str, typer.Option(metavar="CLASS,…", help="Classes to choose from.")] = "",
    multiple: Annotated[bool, typer.Option("--multiple", help="A photograph can have several of the classes.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Free text instead of classes.")] = False,
    rating: Annotated[int | None, typer.Option(min=2, max=10, help="A rating from 1 to this number.")] = None,
    summary: Annotated[str, typer.Option(help="Description in 'labels targets'.")] = "",
) -> None:
    """Create a target that people label by hand, as a TOML file of the project."""
    from lightmeter.labels.targets.new import create_target

    names = [item.strip() for item in classes.split(",")] if classes else []
    file = create_target(
        find_project(), name, classes=names, multiple=multiple, text=text, rating=rating, summary=summary
    )
    console.get_console().emit({"name": name, "file": file}, f"Created the target {name}: {file}")
    console.get_console().next_step("labels", "review", name)


@app.command()
def targets() -> None:
    """List targets, also files of the project that are not valid; with such files the exit code is 1."""
    from lightmeter.labels.targets.registry import read_targets

    entries, invalid = read_targets(find_optional_project())
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
            "problem": None,
        }
        for name, entry in entries.items()
    ]
    rows = [(row["name"], row["version"], row["summary"], row["origin"]) for row in document]
    document += [
        {"name": entry.name, "classes": (), "origin": "project", "file": entry.file, "problem": entry.problem}
        for entry in invalid.values()
    ]
    console.get_console().emit(
        document,
        [
            console.table("", ("target", "version", "classes", "origin"), rows),
            *(f"✗ {entry.problem}" for entry in invalid.values()),
            "To add one, see 'labels target new --help'. To change one, copy its file (see --json) to 'targets'.",
        ],
    )
    if invalid:
        raise typer.Exit(1)


@app.command()
def apply(
    names: Annotated[
        list[str],
        typer.Argument(metavar="TARGET", help="Names of targets.", autocompletion=completion.plugin_names("targets")),
    ],
    where: Where = "",
) -> None:
    """Label photographs by the rules of targets; unchanged labels are kept."""
    from lightmeter.harvest.catalogue.database.session import read
    from lightmeter.labels.annotations.photo_facts import last_image
    from lightmeter.labels.annotations.rules import apply as apply_rules
    from lightmeter.labels.targets.registry import get_target

    project = find_project()
    selected = [get_target(name, project) for name in dict.fromkeys(names)]
    with (
        catalogue_engine(project) as engine,
        progress_bar("labelling", read(engine, last_image)) as on_progress,
    ):
        results = apply_rules(engine, selected, where, on_progress)
    console.get_console().emit(
        {name: vars(result) for name, result in results.items()},
        [line for name, result in results.items() for line in _format_result(name, result)],
    )
    labelled = [name for name, result in results.items() if result.labelled.total()]
    if not labelled:
        raise LightmeterError(f"No photograph has a label by the rules of {' or '.join(results)}.")
    console.get_console().next_step("labels", "split", "NAME", *(f"--target {name}" for name in labelled))


def _format_result(name: str, result: "RuleResult") -> list[str]:
    summary = (
        f"{name}: {result.labelled.total()} of {counted(result.photographs, 'photograph')} labelled; "
        f"{counted(result.added, 'label')} added, "
        f"{result.removed} removed."
    )
    return [summary, *(f"  excluded: {count} {reason}" for reason, count in result.excluded.most_common())]


@app.command()
def stats(
    name: TargetName,
    where: Where = "",
    plot: Annotated[Path | None, typer.Option(help="Also write a plot to this .png file.")] = None,
) -> None:
    """Show the distribution of values and labels, and why photographs are excluded."""
    from lightmeter.labels.annotations.statistics import statistics

    if plot is not None:
        format_of(plot, {".png": "png"})
    project, target = find_target(name)
    with catalogue_engine(project) as engine:
        result = statistics(engine, target, where)
    if plot is not None:
        from lightmeter.labels.datasets.card.plots import plot_statistics

        plot_statistics(plot, target, result)
    values = _histogram(result, target.unit)
    counts = {key: value for key, value in vars(result).items() if key not in ("in_class", "outside")}
    console.get_console().emit(
        {"target": name, "version": target.version, **counts, "unit": target.unit, "values": values, "plot": plot},
        [*_value_table(target.unit, values), *_class_table(f"{name} {target.version}", result, plot)],
    )


def _histogram(result: "Statistics", unit: str) -> list[dict[str, float]]:
    """Return the distribution of the values before binning."""
    if not result.in_class and not result.outside:
        return []
    edges, in_class, outside = result.histogram(unit, _MAX_BINS)
    rows = zip(edges[:-1].tolist(), edges[1:].tolist(), in_class.tolist(), outside.tolist(), strict=True)
    return [{"from": low, "to": high, "in_class": inside, "excluded": out} for low, high, inside, out in rows]


def _value_table(unit: str, values: list[dict[str, float]]) -> "Iterator[Table]":
    if values:
        maximum = max(row["in_class"] + row["excluded"] for row in values)
        rows = [
            (
                _format_bin(row["from"], row["to"], unit),
                row["in_class"],
                row["excluded"],
                _bar(row["in_class"], maximum) + _bar(row["excluded"], maximum, "░"),
            )
            for row in values
        ]
        yield console.table("Values before binning", ("value", "in a class", "excluded", ""), rows)


def _format_bin(low: float, high: float, unit: str) -> str:
    """Return the settings of a bin as photographers write them, or its edges in any other unit."""
    from lightmeter.exposure import format_number, is_stop_unit
    from lightmeter.labels.annotations.statistics import THIRD_STOP

    if not is_stop_unit(unit):
        return f"{low:.0f} to {high:.0f} mm" if unit == "mm" else f"{low:.2f} to {high:.2f} {unit}".strip()
    first, last = (format_number(stops, unit) for stops in (low + THIRD_STOP / 2, high - THIRD_STOP / 2))
    return first if first == last else f"{first} to {last}"


def _class_table(title: str, result: "Statistics", plot: Path | None) -> "Iterator[Table | str]":
    maximum = max([*result.classes.values(), 1])
    rows = [(name, count, _bar(count, maximum)) for name, count in result.classes.items()]
    yield console.table(title, ("class", "photographs", ""), rows)
    yield f"{result.labelled} of {counted(result.photographs, 'photograph')} labelled."
    lines = [f"  {origin}: {count}" for origin, count in result.origins.most_common()]
    lines += [f"  excluded: {count} {reason}" for reason, count in result.excluded.most_common()]
    lines += [
        f"  filter {name} would drop {counted(count, 'labelled photograph')} (exclude with --where 'not {name}')"
        for name, count in result.filtered.most_common()
        if count
    ]
    lines += [f"Plot: {plot}"] * bool(plot)
    yield from lines


def _bar(count: float, maximum: float, mark: str = "█") -> str:
    return mark * round(_BAR_WIDTH * count / maximum)
