"""Typer command groups with a common epilog."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message
from lightmeter.terminal import console

GLOBAL_OPTIONS = "Global options: --project DIR, --json, --quiet, --debug."


class SuggestingGroup(TyperGroup):
    """A group that suggests the nearest names of its commands for a wrong one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names, as the base class does."""
        name, commands = args[0] if args else "", self.list_commands(ctx)
        if ctx.resilient_parsing:  # tab completion, which prints no errors
            return super().resolve_command(ctx, args)
        if name and not name.startswith("-") and name not in commands and self.get_command(ctx, name) is None:
            ctx.fail(unknown_name_message("command", name, commands))
        return super().resolve_command(ctx, args)


class CommandGroup(typer.Typer):
    """A command group that lists the global options at the end of each help text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": SuggestingGroup} | options)

    def command(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(*args, **{"epilog": GLOBAL_OPTIONS} | options)


def command_group(summary: str) -> CommandGroup:
    """Create an empty group for a subcommand of ``lightmeter``."""
    return CommandGroup(help=summary, no_args_is_help=True, add_completion=False, epilog=GLOBAL_OPTIONS)


Yes = Annotated[bool, typer.Option("--yes", help="Remove without asking.")]
Force = Annotated[bool, typer.Option("--force", help="Remove it although it is in use.")]


def confirm_removal(subject: str, *, yes: bool) -> None:
    """Ask whether to remove something.

    Args:
        subject: What is removed, for example ``the data set shutter-v1 (167 photographs)``.
        yes: Whether the answer was given on the command line.

    Raises:
        UsageError: The answer is no, or nobody can be asked.
    """
    if yes:
        return
    if console.get_console().json or not sys.stdin.isatty():
        raise UsageError(f"This removes {subject} for good; confirm with --yes.")
    if not typer.confirm(f"Remove {subject} for good?", err=True):
        raise UsageError("Nothing was removed.")


def check_unused(subject: str, users: Sequence[str], *, force: bool) -> None:
    """Check that nothing uses what is to be removed.

    Args:
        subject: What is removed, for example ``The data set shutter-v1``.
        users: What uses it, for example ``the run patches-1``.
        force: Whether it is removed nevertheless.

    Raises:
        UsageError: Something uses it.
    """
    if users and not force:
        raise UsageError(f"{subject} is in use by {', '.join(users)}; remove that first, or use --force.")
