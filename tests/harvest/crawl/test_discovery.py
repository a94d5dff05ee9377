"""Discovery: batches, checkpoints, limits and failures of sources."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.discovery import Discovery, SourceFailed
from lightmeter.harvest.sources.base import Checkpoint, Sighting, Source
from lightmeter.settings import Settings


class RecordingWriter:
    """Stands in for the catalogue writer: every item is new and gets a request."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], dict[str, Any] | None]] = []

    def save_items(
        self, items: list[Sighting], cursor: dict[str, Any] | None, *, reserve: bool
    ) -> "Future[SavedItems]":
        self.batches.append(([getattr(item, "source_id", "") for item in items], cursor))
        requests = [
            RequestItem(int(item.source_id), str(item.media_url)) for item in items if isinstance(item, Sighting)
        ]
        future: Future[SavedItems] = Future()
        future.set_result(SavedItems(requests, [SightingState.FOUND] * len(items)))
        return future


class NumberSource(Source):
    """Yields photographs 0 to 199 with a checkpoint after 100."""

    name = "numbers"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        assert threading.current_thread() is not threading.main_thread()
        for number in range(cursor["next"] if cursor else 0, 200):
            if number == 100:
                yield Checkpoint({"next": 100})
            yield Sighting(source_id=str(number), media_url=f"https://example.org/{number}.jpg")


class AsyncNumberSource(Source):
    """The same as an asynchronous source."""

    name = "async-numbers"

    async def discover(  # type: ignore[override]
        self, query: Any, cursor: dict[str, Any] | None
    ) -> AsyncIterator[Sighting | Checkpoint]:
        for number in range(cursor["next"] if cursor else 0, 200):
            await asyncio.sleep(0)
            if number == 100:
                yield Checkpoint({"next": 100})
            yield Sighting(source_id=str(number), media_url=f"https://example.org/{number}.jpg")


class FailingSource(Source):
    """Fails after one photograph."""

    name = "failing"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        yield Sighting(source_id="0", media_url="https://example.org/0.jpg")
        raise ConnectionError("the service is down")


def discover(source: type[Source], **options: Any) -> tuple[list[int], RecordingWriter]:
    """Return the ids of all request items, and the writer."""
    writer = RecordingWriter()

    async def main() -> list[int]:
        discovery = Discovery(writer, source=source(Settings()), **options)  # type: ignore[arg-type]
        return [item.sighting_id async for item in discovery]

    return asyncio.run(main()), writer


@pytest.mark.parametrize("source", [NumberSource, AsyncNumberSource])
def test_items_are_saved_in_batches_with_checkpoint(source: type[Source]) -> None:
    ids, writer = discover(source)
    assert ids == list(range(200))
    assert [len(items) for items, _ in writer.batches] == [64, 36, 64, 36]
    assert [cursor for _, cursor in writer.batches] == [None, {"next": 100}, None, None]


@pytest.mark.parametrize("source", [NumberSource, AsyncNumberSource])
def test_discovery_resumes_from_cursor(source: type[Source]) -> None:
    ids, _ = discover(source, cursor={"next": 150})
    assert ids == list(range(150, 200))


@pytest.mark.parametrize("source", [NumberSource, AsyncNumberSource])
def test_limit_stops_discovery(source: type[Source]) -> None:
    ids, _ = discover(source, limit=70)
    assert ids == list(range(70))


def test_failing_source_keeps_what_it_yielded() -> None:
    writer = RecordingWriter()

    async def main() -> None:
        async for _ in Discovery(writer, source=FailingSource(Settings())):  # type: ignore[arg-type]
            pass

    with pytest.raises(SourceFailed, match="the service is down"):
        asyncio.run(main())
    assert [ids for ids, _ in writer.batches] == [["0"]]


class SlowSource(Source):
    """Yields one photograph and then waits for the end of the test."""

    name = "slow"
    end = threading.Event()

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        yield Sighting(source_id="0", media_url="https://example.org/0.jpg")
        self.end.wait(30)


def test_item_of_a_slow_source_is_saved_before_the_next() -> None:
    async def first() -> int:
        async for item in Discovery(RecordingWriter(), source=SlowSource(Settings())):  # type: ignore[arg-type]
            return item.sighting_id
        return -1

    assert asyncio.run(asyncio.wait_for(first(), 10)) == 0
    SlowSource.end.set()


class OddSource(Source):
    """Yields a checkpoint that cannot be stored, and something else than a sighting."""

    name = "odd"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Any]:
        yield Checkpoint({"seen": {1, 2}})
        yield "not a sighting"
        yield Sighting(source_id="0", media_url="https://example.org/0.jpg")


def test_what_a_source_must_not_yield_is_passed_on_to_be_counted() -> None:
    writer = RecordingWriter()

    async def main() -> None:
        async for _ in Discovery(writer, source=OddSource(Settings())):  # type: ignore[arg-type]
            pass

    asyncio.run(main())
    assert [len(ids) for ids, _ in writer.batches] == [3]


def test_limit_is_exact_for_pages_at_once() -> None:
    writer = RecordingWriter()

    async def main() -> list[list[RequestItem]]:
        discovery = Discovery(writer, limit=10)  # type: ignore[arg-type]
        pages = [[Sighting(source_id=f"{page}{n}") for n in range(4)] for page in range(8)]
        return await asyncio.gather(*(discovery.save(page) for page in pages))

    assert sum(len(requests) for requests in asyncio.run(main())) == 10
