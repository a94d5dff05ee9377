"""What a person sees while a run goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightmeter import console
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter

_EVERY_S = 0.25
_OTHERS = (SightingState.SKIPPED, SightingState.REFUSED, SightingState.GONE, SightingState.FAILED)


@contextmanager
def progress_display(recorder: CatalogueWriter, total: int | None) -> Iterator[None]:
    """Show found, fetched, photographs a second and the other states while the block runs.

    Args:
        total: photographs to come, if that is known.
    """
    columns = (
        "{task.fields[found]} found",
        "{task.fields[rate]:.0f}/s",
        *(f"{{task.fields[{state}]}} {state}" for state in _OTHERS),
    )
    over = threading.Event()
    began = time.monotonic()
    with console.get_console().progress(*columns) as progress:
        task = progress.add_task("fetching", total=total, rate=0.0, **_fields(recorder))

        def follow() -> None:
            while not over.wait(_EVERY_S):
                done = _done(recorder)
                rate = done / (time.monotonic() - began)
                progress.update(task, completed=done, rate=rate, **_fields(recorder))

        thread = threading.Thread(target=follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _done(recorder: CatalogueWriter) -> int:
    return sum(number for state, number in recorder.counts.items() if state != SightingState.FOUND)


def _fields(recorder: CatalogueWriter) -> dict[str, Any]:
    return {"found": sum(recorder.counts.values()), **{state: recorder.counts[state] for state in _OTHERS}}
