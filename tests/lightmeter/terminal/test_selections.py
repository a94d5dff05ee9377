"""Commands that select photographs, and select none."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from lightmeter import cli
from tests.support import run_error, run_json

COMMANDS: dict[str, Sequence[str]] = {
    "catalogue edit": ("owner=Ann",),
    "catalogue export": ("table.csv",),
    "catalogue list": (),
    "catalogue remove": ("--yes",),
    "catalogue stats": (),
    "harvest contact-sheet": ("--filter", "quality"),
    "harvest crops": ("crops",),
    "harvest duplicates": (),
    "harvest inspect": (),
    "labels agreement": ("medium", "ann", "bob"),
    "labels apply": ("medium",),
    "labels audit": ("medium",),
    "labels export": ("labels.csv",),
    "labels review": ("medium", "--no-open"),
    "labels set": ("medium=film",),
    "labels split": ("some-name", "--target", "medium"),
    "labels stats": ("medium",),
    "models predict": ("default", "--out", "predictions.parquet"),
}
"""Every command with ``--where``, with the arguments that it needs."""


def with_option(command: Any, name: str, path: str = "") -> Iterator[str]:
    """Yield the paths of the commands that have an option."""
    context = typer.Context(command)
    if any(name == parameter.name for parameter in command.params):
        yield path
    if hasattr(command, "list_commands"):
        for child in command.list_commands(context):
            if child != "run":  # the sources
                yield from with_option(command.get_command(context, child), name, f"{path} {child}".strip())


def test_query_that_matches_nothing_ends_every_command_with_1(project: Path) -> None:
    assert sorted(COMMANDS) == sorted(with_option(typer.main.get_command(cli.app), "where"))
    before = sorted(project.iterdir())
    for command, args in COMMANDS.items():
        error = run_error(*command.split(), *args, "--where", "iso > 9000", "--quiet", code=1)
        assert "No photograph matches the query 'iso > 9000'." in error, command
    assert {*project.iterdir()} <= {*before, project / ".lightmeter"}
    assert run_json("catalogue", "list") == []  # nothing was selected


def test_rule_that_labels_nothing_ends_with_1(project: Path) -> None:
    assert run_json("labels", "apply", "medium", code=1)["medium"]["photographs"] == 0
