"""``python -m lightmeter`` and the ``lightmeter`` command."""

import gc
import sys

_OBJECTS_OF_MODULES = 200_000


def run() -> None:
    """Run the command line; Ctrl-C ends it quietly also while modules are imported."""
    postpone_garbage_collection()
    try:
        from lightmeter.cli import run as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)


def postpone_garbage_collection() -> None:
    """Search for garbage only when there are as many objects as modules have, and never again among these.

    Modules create hardly any garbage; searching for it takes a sixth of the time of importing them.
    """
    thresholds = gc.get_threshold()

    def restore(phase: str, _: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(restore)
            gc.freeze()
            gc.set_threshold(*thresholds)

    gc.callbacks.append(restore)
    gc.set_threshold(_OBJECTS_OF_MODULES)


if __name__ == "__main__":
    run()
