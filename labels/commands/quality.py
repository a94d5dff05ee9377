"""How far labels can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import console
from lightmeter.commands import CommandGroup
from lightmeter.errors import UsageError
from lightmeter.labels.commands.options import Where, catalogue

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightmeter.labels.annotations.label_issues import Doubts
    from lightmeter.labels.targets.base import Target

app = CommandGroup()

_SHOWN = 20


@app.command()
def audit(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="Whose labels.")],
    where: Where = "",
    run: Annotated[Path | None, typer.Option(help="An evaluated run: which labels does its model doubt?")] = None,
    model: Annotated[bool, typer.Option(help="Without --run, ask a model of what filters measured.")] = True,
) -> None:
    """Find labels that may be wrong; 'labels review TARGET --queue suspects' shows them."""
    from dataclasses import asdict

    from lightmeter.labels.annotations.audit import audit as find_suspects
    from lightmeter.labels.annotations.suspects import write_suspects
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    target = get_target(name, project)
    with catalogue(project) as engine:
        suspects = find_suspects(engine, target, _doubts(engine, target, run, where) if run or model else {}, where)
    document = [asdict(suspect) for suspect in suspects]
    write_suspects(project, target.name, document)
    rows = [(one.sha256[:12], one.label, "; ".join(one.reasons)) for one in suspects[:_SHOWN]]
    more = f"and {len(suspects) - _SHOWN} more; " if len(suspects) > _SHOWN else ""
    found: list[Any] = [
        console.table(f"{len(suspects)} suspects", ("photograph", "label", "why"), rows),
        f"{more}judge them with: lightmeter labels review {target.name} --queue suspects",
    ]
    console.get_console().emit(document, found if suspects else [f"No label of {target.name} looks wrong."])


def _doubts(engine: "Engine", target: "Target[Any]", run: Path | None, where: str) -> "Doubts":
    from importlib.util import find_spec

    from lightmeter.labels.annotations.label_issues import cross_validated_probabilities, probabilities_from_run
    from lightmeter.labels.datasets.collect import collect

    if target.multilabel:
        if run is not None:
            raise UsageError(f"--run cannot doubt labels of {target.name}: a photograph has several of them.")
        console.get_console().note(f"No model was asked: of {target.name} a photograph has several labels.")
        return {}
    if run is not None:
        return probabilities_from_run(run, target.name)
    if find_spec("cleanlab") is None:
        console.get_console().note("No model was asked: that needs cleanlab (pip install 'lightmeter[audit]').")
        return {}
    with engine.connect() as connection:
        return cross_validated_probabilities(connection, collect(connection, [target], where), target)


@app.command()
def agree(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="Whose labels.")],
    one: Annotated[str, typer.Argument(help="An author, as 'labels show' names them.")],
    other: Annotated[str, typer.Argument(help="Another author.")],
    where: Where = "",
) -> None:
    """Say how far two people agree: Cohen's kappa and where they differ."""
    from lightmeter.labels.annotations.agreement import agreement
    from lightmeter.labels.targets.registry import get_target
    from lightmeter.project import find_project

    project = find_project()
    target = get_target(name, project)
    with catalogue(project) as engine, engine.connect() as connection:
        found = agreement(connection, target, one, other, where)
    rows = [(first, *(found.confusion[first][second] for second in found.classes)) for first in found.classes]
    low, high = found.interval
    summary = (
        f"{found.photographs} photographs, {100 * found.agreed:.1f} % the same; Cohen's kappa {found.kappa:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f})"
    )
    confusion = console.table(f"{one} (down) and {other} (across)", ("", *found.classes), rows)
    console.get_console().emit({**vars(found), "agreed": found.agreed}, [confusion, summary])
