"""``lightmeter labels``: decide what each photograph is an example of, and freeze data sets."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightmeter import console
from lightmeter.console import EVERYWHERE
from lightmeter.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from labels.apply import Outcome
    from labels.split import Frozen
    from lightmeter.project import Project

app = typer.Typer(
    help="Decide what each photograph is an example of, and freeze data sets that do not leak.",
    no_args_is_help=True,
    epilog=EVERYWHERE,
)

Where = Annotated[
    str, typer.Option(help='Only photographs that a query chooses, such as "iso <= 400 and not monochrome".')
]
_BAR = 40
_PARTS = 3


@contextmanager
def _catalogue(project: "Project") -> "Iterator[Engine]":
    from harvest.catalogue.session import open_catalogue

    engine = open_catalogue(project)
    try:
        yield engine
    finally:
        engine.dispose()


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
    with _catalogue(project) as engine, console.current().progress() as progress:
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
    with _catalogue(project) as engine:
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


@app.command()
def split(  # noqa: PLR0913, PLR0917 - the options of a command
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    target: Annotated[list[str], typer.Option(help="What to learn; may be given several times.")],
    ratios: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    group: Annotated[str, typer.Option(help="What holds photographs together.")] = "photographer,camera,duplicates",
    least: Annotated[int, typer.Option(min=1, help="A class with fewer photographs is left out.")] = 5,
    where: Where = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the data set; else datasets/NAME.")] = None,
) -> None:
    """Freeze a data set whose sides share no photographer, no camera body and no near-identical pictures."""
    from labels.deal import Choices
    from labels.split import split as freeze
    from labels.targets.library import find
    from lightmeter.project import find as find_project

    project = find_project()
    if not name or "/" in name or name.startswith("."):
        raise UsageError(f"'{name}' cannot be the name of a data set; use letters, digits, '-' and '_'.")
    choices = Choices(seed=seed, ratios=_ratios(ratios), group=_group(group), least=least, where=where)
    chosen = [find(one, project) for one in dict.fromkeys(target)]
    with _catalogue(project) as engine:
        frozen = freeze(engine, project, out or project.datasets / name, chosen, choices)
    _emit_split(frozen)


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != _PARTS or min(parts) <= 0:
        raise UsageError(f"--ratios {text} is wrong: give three numbers above 0, such as 80/10/10.")
    first, second, third = (part / sum(parts) for part in parts)
    return first, second, third


def _group(text: str) -> Any:
    from labels.groups import GROUP_KEYS

    wanted = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [part for part in wanted if part not in GROUP_KEYS]
    if wrong:
        raise UsageError(f"--group {wrong[0]} is wrong: choose from {', '.join(GROUP_KEYS)}.")
    return tuple(key for key in GROUP_KEYS if key in wanted)


def _emit_split(frozen: "Frozen") -> None:
    from labels.card import class_counts
    from labels.dataset import SPLITS

    dataset = frozen.dataset
    counts = {one.name: class_counts(dataset.manifest, one) for one in dataset.spec.targets}
    tables = [
        console.table(name, ("class", *SPLITS), [(one, *of.values()) for one, of in classes.items()])
        for name, classes in counts.items()
    ]
    said = "" if frozen.new else " It was there already, unchanged."
    console.current().emit(
        {
            "name": dataset.spec.name,
            "path": dataset.folder,
            "manifest_sha256": dataset.spec.manifest_sha256,
            "new": frozen.new,
            "photographs": dataset.manifest.num_rows,
            "groups": frozen.dealt.groups,
            "splits": dataset.spec.counts,
            "counts": counts,
            "left_out": [vars(one) for one in frozen.dealt.rare],
            "notes": frozen.notes,
        },
        [
            *tables,
            *(f"• {note}" for note in frozen.notes),
            f"{dataset.manifest.num_rows} photographs in {frozen.dealt.groups} groups: {dataset.folder}{said}",
        ],
    )
