"""How far labels can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labels.commands.options import Where, catalogue
from lightmeter import console
from lightmeter.commands import Group
from lightmeter.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from labels.doubts import Doubts
    from labels.targets.base import Target

app = Group()

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

    from labels.audit import audit as find_suspects
    from labels.suspects import write_suspects
    from labels.targets.library import find
    from lightmeter.project import find as find_project

    project = find_project()
    target = find(name, project)
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
    console.current().emit(document, found if suspects else [f"No label of {target.name} looks wrong."])


def _doubts(engine: "Engine", target: "Target[Any]", run: Path | None, where: str) -> "Doubts":
    from importlib.util import find_spec

    from labels.doubts import from_measures, from_run
    from labels.gather import gather

    if target.multiple:
        if run is not None:
            raise UsageError(f"--run cannot doubt labels of {target.name}: a photograph has several of them.")
        console.current().note(f"No model was asked: of {target.name} a photograph has several labels.")
        return {}
    if run is not None:
        return from_run(run, target.name)
    if find_spec("cleanlab") is None:
        console.current().note("No model was asked: that needs cleanlab (pip install 'lightmeter[audit]').")
        return {}
    with engine.connect() as connection:
        return from_measures(connection, gather(connection, [target], where), target)


@app.command()
def agree(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="Whose labels.")],
    one: Annotated[str, typer.Argument(help="An author, as 'labels show' names them.")],
    other: Annotated[str, typer.Argument(help="Another author.")],
    where: Where = "",
) -> None:
    """Say how far two people agree: Cohen's kappa and where they differ."""
    from labels.agreement import agreement
    from labels.targets.library import find
    from lightmeter.project import find as find_project

    project = find_project()
    target = find(name, project)
    with catalogue(project) as engine, engine.connect() as connection:
        found = agreement(connection, target, one, other, where)
    rows = [(first, *(found.confusion[first][second] for second in found.classes)) for first in found.classes]
    low, high = found.interval
    summary = (
        f"{found.photographs} photographs, {100 * found.agreed:.1f} % the same; Cohen's kappa {found.kappa:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f})"
    )
    confusion = console.table(f"{one} (down) and {other} (across)", ("", *found.classes), rows)
    console.current().emit({**vars(found), "agreed": found.agreed}, [confusion, summary])
