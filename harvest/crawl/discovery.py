"""Jobs for the crawl, from what a source discovers."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.items import FetchRequest
from lightmeter.harvest.sources import Checkpoint, PhotoItem, Source

_BATCH = 64
_BATCH_AGE_S = 0.5
_AHEAD = 256


class Discovery:
    """Runs a source's blocking `discover` in a thread and hands its jobs to the crawl, not far ahead of it.

    Args:
        source: what discovers, or None.
        query: what it was asked.
        cursor: where to go on.
        limit: new sightings to take at most.
        recorder: records each batch before it becomes jobs.
    """

    def __init__(
        self,
        source: Source | None,
        query: Any,
        cursor: dict[str, Any] | None,
        limit: int | None,
        recorder: CatalogueWriter,
    ) -> None:
        self._source, self._query, self._cursor, self._recorder = source, query, cursor, recorder
        self._left = limit
        self._stop = threading.Event()
        self._jobs: asyncio.Queue[FetchRequest | BaseException | None] = asyncio.Queue(_AHEAD)

    async def jobs(self) -> AsyncIterator[FetchRequest]:
        """Yield jobs until the source has no more.

        Raises:
            Exception: what the source raised.
        """
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._discover, args=(loop,), name="discovery", daemon=True)
        thread.start()
        while (job := await self._jobs.get()) is not None:
            if isinstance(job, BaseException):
                raise job
            yield job

    async def take(self, seen: list[PhotoItem]) -> list[FetchRequest]:
        """Record sightings that a page showed, and return the jobs that come of them."""
        room = len(seen) if self._left is None else self._left
        if not seen[:room]:
            return []
        registered = await asyncio.wrap_future(self._recorder.register(seen[:room], None))
        self._count(registered)
        return registered.jobs

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._left is not None and self._left <= 0

    def stop(self) -> None:
        """Ask the source's thread to end at its next sighting."""
        self._stop.set()

    def _count(self, registered: SavedItems) -> None:
        if self._left is not None:
            self._left -= len(registered.new)

    def _discover(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._source is not None  # noqa: S101 - without one nobody asks for jobs
        try:
            for seen, cursor in self._batches(_iterate(self._source.discover(self._query, self._cursor), loop)):
                registered = self._recorder.register(seen, cursor).result()
                self._count(registered)
                for job in registered.jobs:
                    self._put(loop, job)
            self._put(loop, None)
        except BaseException as error:  # noqa: BLE001 - raised again where the crawl waits
            self._put(loop, error)

    def _put(self, loop: asyncio.AbstractEventLoop, item: FetchRequest | BaseException | None) -> None:
        if not loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._jobs.put(item), loop).result()

    def _batches(
        self, items: Iterator[PhotoItem | Checkpoint]
    ) -> Iterator[tuple[list[PhotoItem], dict[str, Any] | None]]:
        """Gather sightings until there are enough, some time has passed, a checkpoint comes, or the limit is near."""
        batch: list[PhotoItem] = []
        born = time.monotonic()
        for item in items:
            if self._stop.is_set():
                return
            if isinstance(item, Checkpoint):
                yield batch, item.cursor
                batch, born = [], time.monotonic()
                continue
            batch.append(item)
            room = _BATCH if self._left is None else min(_BATCH, self._left)
            if len(batch) >= room or time.monotonic() - born > _BATCH_AGE_S:
                yield batch, None
                batch, born = [], time.monotonic()
            if self.full:
                return
        if batch:
            yield batch, None


def _iterate(found: Any, loop: asyncio.AbstractEventLoop) -> Iterator[PhotoItem | Checkpoint]:
    """Return a plain iterator, driving an async one in the crawl's own loop."""
    if not isinstance(found, AsyncIterator):
        yield from found
        return
    while True:
        try:
            yield asyncio.run_coroutine_threadsafe(anext(found), loop).result()  # type: ignore[arg-type]
        except StopAsyncIteration:
            return
