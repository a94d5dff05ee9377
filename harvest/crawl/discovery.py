"""Asynchronous iteration over what a source discovers."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lightmeter.errors import LightmeterError
from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.sources.base import Checkpoint, DatedQuery, Sighting, Source, SpiderSource, Unreadable
from lightmeter.harvest.sources.registry import provider_of

if TYPE_CHECKING:
    from scrapy import Request

_BATCH_SIZE = 64
_BATCH_AGE_S = 0.5

T = TypeVar("T")


class SourceFailed(Exception):
    """The source cannot be read further; the message says why."""


class Discovery:
    """Asynchronous iterator over the request items that a source discovers.

    The source is iterated in a thread, at most one batch ahead. Each batch is committed to the catalogue before its
    items are returned.

    Args:
        writer: Writes discovered items to the catalogue.
        source: Source plugin, or None to discover nothing.
        query: Query of the source.
        cursor: Checkpoint to resume the source from.
        limit: Maximum number of new sightings.
    """

    def __init__(
        self,
        writer: CatalogueWriter,
        source: Source | None = None,
        query: Any = None,
        cursor: dict[str, Any] | None = None,
        limit: int | None = None,
    ) -> None:
        self.source, self.query = source, query
        self._writer, self._cursor, self._remaining = writer, cursor, limit
        self._saving = asyncio.Lock()

    async def __aiter__(self) -> AsyncIterator[RequestItem]:
        """Yield request items.

        Raises:
            SourceFailed: The source failed; what it yielded before is saved.
        """
        if self.source is None or isinstance(self.source, SpiderSource):
            return
        feed = _Feed(partial(self.source.discover, self.query, self._cursor))
        try:
            last = False
            while not (last or self.limit_reached):
                size = _BATCH_SIZE if self._remaining is None else min(_BATCH_SIZE, self._remaining)
                batch = await in_daemon_thread(partial(feed.next_batch, size))
                for request in await self.save(batch.items, batch.cursor):
                    yield request
                if batch.error is not None:
                    raise self._source_failed(batch.error) from batch.error
                last = batch.last
        finally:
            feed.close()

    def start_pages(self) -> Iterator["Request"]:
        """Yield the requests that a website starts with; none for other sources.

        Raises:
            SourceFailed: The source failed.
        """
        if not isinstance(self.source, SpiderSource):
            return
        try:
            yield from self.source.start(self.query)
        except Exception as error:
            raise self._source_failed(error) from error

    async def save(
        self, items: list[Sighting | Unreadable], cursor: dict[str, Any] | None = None, *, reserve: bool = False
    ) -> list[RequestItem]:
        """Save discovered items of the query's period, up to the limit, and return those to download.

        Args:
            items: Items as discovered.
            cursor: Checkpoint behind them.
            reserve: Lease all of them, so that no other process downloads them.
        """
        if isinstance(self.query, DatedQuery):
            items = [item for item in items if not isinstance(item, Sighting) or self.query.includes(item.published_at)]
        requests: list[RequestItem] = []
        async with self._saving:  # of several pages at once none may exceed the limit
            while (items or cursor is not None) and not self.limit_reached:
                part, items = items[: self._remaining], items[len(items[: self._remaining]) :]
                saved = await asyncio.wrap_future(
                    self._writer.save_items(part, None if items else cursor, reserve=reserve)
                )
                cursor = cursor if items else None
                requests += saved.requests
                if self._remaining is not None:
                    self._remaining -= len(saved.states)
        return requests

    @property
    def limit_reached(self) -> bool:
        """Whether the maximum number of new sightings is reached."""
        return self._remaining is not None and self._remaining <= 0

    def _source_failed(self, error: BaseException) -> SourceFailed:
        """Return the exception with a message for people; a programming error names the package."""
        if isinstance(error, LightmeterError):
            return SourceFailed(str(error))
        return SourceFailed(f"{type(error).__name__}: {error} ({provider_of(self.source)})")


@dataclass
class _Batch:
    """Consecutive items of a source; complete at its size, its age or a checkpoint.

    Attributes:
        cursor: Checkpoint behind the items.
        last: Whether the source has no more items.
        error: Exception that ended the source.
    """

    items: list[Sighting | Unreadable] = field(default_factory=list)
    cursor: dict[str, Any] | None = None
    last: bool = False
    error: BaseException | None = None


@dataclass(frozen=True)
class _End:
    """Stands behind the last item of a source."""

    error: BaseException | None = None


class _Closed(Exception):
    """Nobody reads the feed any longer."""


class _Feed:
    """Iterates a source in a daemon thread: unlike `asyncio.to_thread`, a source that blocks does not delay the exit.

    The threads wake each other once per batch, not for each item.

    Args:
        discover: Returns the source's iterator; an asynchronous one gets an event loop of its own.
    """

    def __init__(self, discover: Callable[[], Any]) -> None:
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._wanted = 1
        self._closed = False
        threading.Thread(target=self._run, args=(discover,), name="discovery", daemon=True).start()

    def next_batch(self, size: int) -> _Batch:
        """Wait for the next items; after the first one no longer than half a second for others."""
        with self._changed:
            self._wanted = size
            self._changed.wait_for(lambda: self._items or self._closed)
            self._changed.wait_for(self._is_complete, _BATCH_AGE_S)
            batch = self._take(size)
            self._changed.notify_all()
        return batch

    def close(self) -> None:
        """End the thread with its next item."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _take(self, size: int) -> _Batch:
        batch = _Batch(last=self._closed)
        while self._items and len(batch.items) < size:
            item = self._items.popleft()
            if isinstance(item, _End):
                batch.last, batch.error = True, item.error
                break
            if isinstance(item, Checkpoint) and _is_json(item.cursor):
                batch.cursor = item.cursor
                break
            batch.items.append(
                Unreadable("checkpoint", "its cursor is not JSON") if isinstance(item, Checkpoint) else item
            )
        return batch

    def _is_complete(self) -> bool:
        """Return whether the items are a complete batch."""
        size_reached = self._closed or len(self._items) >= self._wanted
        return size_reached or any(isinstance(item, _End | Checkpoint) for item in self._items)

    def _run(self, discover: Callable[[], Any]) -> None:
        error: BaseException | None = None
        try:
            items = discover()
            if isinstance(items, AsyncIterator):
                asyncio.run(self._put_all(items))
            else:
                for item in items:
                    self._put(item)
        except _Closed:
            return
        except BaseException as exception:  # noqa: BLE001 - raised where the batch is awaited
            error = exception
        with suppress(_Closed):
            self._put(_End(error))

    async def _put_all(self, items: AsyncIterator[Any]) -> None:
        async for item in items:
            self._put(item)

    def _put(self, item: Any) -> None:
        with self._changed:
            self._items.append(item)
            if len(self._items) in (1, self._wanted) or isinstance(item, _End | Checkpoint):
                self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._items) < _BATCH_SIZE or self._closed)
            if self._closed:
                raise _Closed


def _is_json(cursor: object) -> bool:
    try:
        return bool(json.dumps(cursor, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False


def in_daemon_thread(function: Callable[[], T], name: str = "discovery-batch") -> "asyncio.Future[T]":
    """Call a function in a thread that does not delay the exit of the process, as those of `asyncio.to_thread` do."""
    future: Future[T] = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where the batch is awaited
                future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(future)
