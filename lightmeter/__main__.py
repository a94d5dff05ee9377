"""``python -m lightmeter`` and the ``lightmeter`` command."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C ends it quietly also while modules are imported."""
    try:
        from lightmeter.cli import run as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
