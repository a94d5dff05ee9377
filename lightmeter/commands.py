"""Typer command groups with a common epilog."""

from collections.abc import Callable
from typing import Any

import typer

GLOBAL_OPTIONS = "Global options: --project DIR, --json, --quiet, --debug."


class CommandGroup(typer.Typer):
    """A command group that lists the global options at the end of each help text."""

    def command(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(*args, **{"epilog": GLOBAL_OPTIONS} | options)


def command_group(summary: str) -> CommandGroup:
    """Create an empty group for a subcommand of ``lightmeter``."""
    return CommandGroup(help=summary, no_args_is_help=True, add_completion=False, epilog=GLOBAL_OPTIONS)
