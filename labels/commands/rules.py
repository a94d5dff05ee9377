"""Targets, the rules that apply them, and how the labels spread."""

from typing import TYPE_CHECKING, Annotated

import typer

from labels.commands.options import Where, catalogue
from lightmeter import console
from lightmeter.commands import Group

if TYPE_CHECKING:
    from labels.apply import Outcome

app = Group()

_BAR = 40
_PARTS = 3


@app.command()
def targets() -> None:
    """List what photographs can be examples of."""
    from labels.targets.library import targets as all_targets
    from lightmeter.project import find_if_any

    entries = all_targets(find_if_any())
    document = [
        {
            "name": name,
            "version": entry.target.version,
            "summary": entry.target.definition.summary,
            "classes": entry.target.classes,
            "unit": entry.target.unit,
            "origin": entry.origin,
            "file": entry.file,
        }
        for name, entry in entries.items()
    ]
    rows = [(row["name"], row["version"], row["summary"], row["origin"]) for row in document]
    console.current().emit(
        document,
        [
            console.table("", ("target", "version", "classes", "from"), rows),
            "To change one, copy its file (see --json) into the folder 'targets' of your project and edit it there.",
        ],
    )


@app.command()
def apply(
    names: Annotated[list[str], typer.Argument(metavar="TARGET...", help="Targets whose rules to apply.")],
) -> None:
    """Label photographs by rule; what is labelled the same already stays as it is."""
    from labels.apply import apply as apply_rules
    from labels.apply import count_photographs
    from labels.targets.library import find
    from lightmeter.project import find as find_project

    project = find_project()
    chosen = [find(name, project) for name in dict.fromkeys(names)]
    with catalogue(project) as engine, console.current().progress() as progress:
        task = progress.add_task("labelling", total=count_photographs(engine))
        outcomes = apply_rules(engine, chosen, lambda done: progress.advance(task, done))
    console.current().emit(
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
) -> None:
    """Show how the labels of a target spread, and what is left out and why."""
    from labels.stats import statistics
    from labels.targets.library import find
    from lightmeter.project import find as find_project

    project = find_project()
    target = find(name, project)
    with catalogue(project) as engine:
        found = statistics(engine, target, where)
    most = max([*found.classes.values(), 1])
    rows = [(one, count, "█" * round(_BAR * count / most)) for one, count in found.classes.items()]
    lines = [f"{found.labelled} of {found.photographs} photographs are labelled."]
    lines += [f"  by {origin}: {count}" for origin, count in found.origins.most_common()]
    lines += [f"  left out: {count} {reason}" for reason, count in found.left_out.most_common()]
    console.current().emit(
        {"target": name, "version": target.version, "labelled": found.labelled, **vars(found)},
        [console.table(f"{name} {target.version}", ("class", "photographs", ""), rows), "\n".join(lines)],
    )
