"""Asynchronous iteration over what a source discovers."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.sources.base import Checkpoint, Sighting, Source, SpiderSource

if TYPE_CHECKING:
    from scrapy import Request

_BATCH_SIZE = 64
_BATCH_AGE_S = 0.5


class Discovery:
    """Asynchronous iterator over request items: pending ones of earlier runs, then those that the source discovers.

    The source is iterated in batches, in a thread if it blocks. Each batch is committed to the catalogue before its
    items are returned, and the next one is discovered meanwhile.

    Args:
        writer: Writes discovered items to the catalogue.
        pending: Request items left by an interrupted run.
        source: Source plugin, or None to process pending items only.
        query: Query of the source.
        cursor: Checkpoint to resume the source from.
        limit: Maximum number of new sightings.
    """

    def __init__(
        self,
        writer: CatalogueWriter,
        pending: Iterable[RequestItem] = (),
        source: Source | None = None,
        query: Any = None,
        cursor: dict[str, Any] | None = None,
        limit: int | None = None,
    ) -> None:
        self.source, self.query = source, query
        self._writer, self._pending, self._cursor, self._remaining = writer, pending, cursor, limit

    async def __aiter__(self) -> AsyncIterator[RequestItem]:
        """Yield request items.

        Raises:
            Exception: The source failed.
        """
        for item in self._pending:
            yield item
        if self.source is None or isinstance(self.source, SpiderSource):
            return
        items = self.source.discover(self.query, self._cursor)
        next_batch: asyncio.Future[_Batch] | None = self._next_batch(items)
        try:
            while next_batch is not None:
                batch = await next_batch
                requests = await self.save(batch.items, batch.cursor)
                next_batch = None if batch.last or self.limit_reached else self._next_batch(items)
                for request in requests:
                    yield request
        finally:
            if next_batch is not None:  # the crawl was stopped
                next_batch.cancel()

    def start_pages(self) -> Iterator["Request"]:
        """Yield the requests that a website starts with; none for other sources."""
        if isinstance(self.source, SpiderSource):
            yield from self.source.start(self.query)

    async def save(self, items: list[Sighting], cursor: dict[str, Any] | None = None) -> list[RequestItem]:
        """Save discovered items up to the limit and return those to download."""
        items = items[: self._remaining]
        if not items and cursor is None:
            return []
        saved = await asyncio.wrap_future(self._writer.save_items(items, cursor))
        if self._remaining is not None:
            self._remaining -= len(saved.states)
        return saved.requests

    @property
    def limit_reached(self) -> bool:
        """Whether the maximum number of new sightings is reached."""
        return self._remaining is not None and self._remaining <= 0

    def _next_batch(
        self, items: Iterator[Sighting | Checkpoint] | AsyncIterator[Sighting | Checkpoint]
    ) -> "asyncio.Future[_Batch]":
        """Start to collect the next batch."""
        size = _BATCH_SIZE if self._remaining is None else min(_BATCH_SIZE, self._remaining)
        if isinstance(items, AsyncIterator):
            return asyncio.ensure_future(_Batch(size).collect_async(items))
        return _in_daemon_thread(lambda: _Batch(size).collect(items))


@dataclass
class _Batch:
    """Consecutive items of a source; complete at its size, its age or a checkpoint.

    Attributes:
        cursor: Checkpoint behind the items.
        last: Whether the source has no more items.
    """

    size: int
    items: list[Sighting] = field(default_factory=list)
    cursor: dict[str, Any] | None = None
    last: bool = False
    _started: float = field(default_factory=time.monotonic)

    def collect(self, items: Iterator[Sighting | Checkpoint]) -> "_Batch":
        for item in items:
            if self._add(item):
                return self
        self.last = True
        return self

    async def collect_async(self, items: AsyncIterator[Sighting | Checkpoint]) -> "_Batch":
        async for item in items:
            if self._add(item):
                return self
        self.last = True
        return self

    def _add(self, item: Sighting | Checkpoint) -> bool:
        """Add an item; return whether the batch is complete."""
        if isinstance(item, Checkpoint):
            self.cursor = item.cursor
            return True
        self.items.append(item)
        return len(self.items) >= self.size or time.monotonic() - self._started > _BATCH_AGE_S


def _in_daemon_thread(function: Callable[[], _Batch]) -> "asyncio.Future[_Batch]":
    """Run a function in a daemon thread: unlike `asyncio.to_thread`, a source that blocks does not delay the exit."""
    future: Future[_Batch] = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where the batch is awaited
                future.set_exception(error)

    threading.Thread(target=run, name="discovery", daemon=True).start()
    return asyncio.wrap_future(future)
