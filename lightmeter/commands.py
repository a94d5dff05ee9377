"""Groups of commands, all alike."""

from collections.abc import Callable
from typing import Any

import typer

EVERYWHERE = "Everywhere: --project DIR, --json, --quiet, --debug."


class CommandGroup(typer.Typer):
    """A group whose every help ends with the options that may stand anywhere."""

    def command(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Register a command, as Typer does."""
        return super().command(*args, **{"epilog": EVERYWHERE} | options)


def command_group(summary: str) -> CommandGroup:
    """Return an empty group for one of the sub-commands of ``lightmeter``."""
    return CommandGroup(help=summary, no_args_is_help=True, add_completion=False, epilog=EVERYWHERE)
