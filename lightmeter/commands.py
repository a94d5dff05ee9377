"""Groups of commands, all alike."""

import typer


def group(summary: str) -> typer.Typer:
    """Return an empty group for one of the sub-commands of ``lightmeter``."""
    return typer.Typer(
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        epilog="Everywhere: --project DIR, --json, --quiet, --debug.",
    )
