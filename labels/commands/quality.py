"""Commands for label quality: audit labels, and measure inter-annotator agreement."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter.errors import UsageError
from lightmeter.harvest.commands.options import Where
from lightmeter.labels.commands.options import TargetName, catalogue_engine, find_target
from lightmeter.terminal import console
from lightmeter.terminal.commands import CommandGroup
from lightmeter.text.numbers import counted

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightmeter.labels.annotations.label_issues import IssueScores
    from lightmeter.labels.targets.base import Target

app = CommandGroup()

_MAX_ROWS = 20


@app.command()
def audit(
    name: TargetName,
    where: Where = "",
    run: Annotated[Path | None, typer.Option(help="Evaluated run that disputes labels.")] = None,
    model: Annotated[
        bool, typer.Option(help="Without --run, train a random forest on filter measures and EXIF to dispute labels.")
    ] = True,
) -> None:
    """Find labels that may be wrong; review them with 'labels review TARGET --queue label-issues'."""
    from lightmeter.labels.annotations.audit import audit as find_issues
    from lightmeter.labels.annotations.audit import write_label_issues
    from lightmeter.style import browser_url

    project, target = find_target(name)
    with catalogue_engine(project) as engine:
        scores = _issue_scores(engine, target, run, where) if run or model else {}
        issues = find_issues(engine, target, scores, where)
    write_label_issues(project, target.name, issues)
    rows = [(issue.file, issue.label, "; ".join(issue.reasons)) for issue in issues[:_MAX_ROWS]]
    more = f"{len(issues) - _MAX_ROWS} more. " if len(issues) > _MAX_ROWS else ""
    parts: list[Any] = [
        console.table(counted(len(issues), "label issue"), ("photograph", "label", "reasons"), rows),
        f"{more}Review them with: lightmeter labels review {target.name} --queue label-issues",
        f"While 'lightmeter browse' runs: {browser_url({'target': target.name, 'queue': 'label-issues'})}",
    ]
    document = [
        {**vars(issue), "url": browser_url({"target": target.name, "q": f"sha256 = {issue.sha256}"})}
        for issue in issues
    ]
    console.get_console().emit(document, parts if issues else f"No label issues for target {target.name}.")


def _issue_scores(engine: "Engine", target: "Target[Any]", run: Path | None, where: str) -> "IssueScores":
    from importlib.util import find_spec

    from lightmeter.labels.annotations.label_issues import issues_from_features, issues_from_run
    from lightmeter.labels.datasets.collect import collect

    if target.multilabel:
        if run is not None:
            raise UsageError(f"--run does not support multilabel targets such as {target.name}.")
        console.get_console().note("Model-based checks skipped: multilabel targets are not supported.")
        return {}
    if run is not None:
        return issues_from_run(run, target.name)
    if find_spec("cleanlab") is None:
        console.get_console().note(
            "Model-based checks skipped: cleanlab is not installed (pip install 'lightmeter[audit]')."
        )
        return {}
    with engine.connect() as connection:
        return issues_from_features(connection, collect(connection, [target], where), target)


@app.command()
def agreement(
    name: TargetName,
    authors: Annotated[list[str], typer.Argument(metavar="AUTHOR AUTHOR", help="Authors, as shown by 'labels show'.")],
    where: Where = "",
) -> None:
    """Measure inter-annotator agreement: Cohen's kappa of two authors, Fleiss' kappa of more."""
    from lightmeter.bootstrap import format_estimate
    from lightmeter.labels.annotations.agreement import agreement as compare

    if len(authors) < 2 or len({*authors}) < len(authors):
        raise UsageError("Give at least two different authors.")
    project, target = find_target(name)
    with catalogue_engine(project) as engine, engine.connect() as connection:
        result = compare(connection, target, authors, where)
    kappa = {"cohen": "Cohen's kappa", "fleiss": "Fleiss' kappa"}[result.method]
    summary = (
        f"{counted(result.photographs, 'photograph')}, {100 * result.accuracy:.1f} % with the same class. "
        f"{kappa}: {format_estimate(result.kappa, percent=False)}"
    )
    rows = [(row, *(columns[column] for column in result.classes)) for row, columns in result.confusion.items()]
    confusion = console.table(f"{authors[0]} (rows), {authors[1]} (columns)", ("", *result.classes), rows)
    console.get_console().emit(vars(result), [confusion, summary] if rows else summary)
