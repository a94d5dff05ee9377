"""What ends a crawl at once: a catalogue that stays locked, and a store that cannot be written to."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from scrapy import Request
from scrapy.http import Response
from sqlalchemy import insert

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for, transaction
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.runs import Lease, acquire
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.photo_fetcher import PhotoFetcher
from lightmeter.harvest.crawl.spider import InFlightLimit
from lightmeter.harvest.sources.base import Sighting
from lightmeter.store.base import StoreError

ITEM = RequestItem(1, "https://example.org/a.jpg")


def test_writer_reports_a_catalogue_that_stays_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    engine, other = engine_for(url, retry_s=0.2), engine_for(url)
    upgrade(engine)
    run, lease = _new_run(engine)
    writer = CatalogueWriter(engine, lease, run, SourceContext("x", frozenset({"https"})), RunOptions(), "salt")
    errors: list[BaseException] = []
    writer.on_error = errors.append
    (request,) = writer.save_items([Sighting(source_id="a", media_url=ITEM.media_url)], None).result().requests
    with other.connect() as lock:
        lock.exec_driver_sql("BEGIN IMMEDIATE")
        writer.save_outcome(FetchOutcome(request, SightingState.GONE, "HTTP 404"))
        writer.close()
    assert [str(error) for error in errors] == ["Cannot read or write the catalogue: it is locked by another program."]
    assert writer.counts[SightingState.GONE] == 1
    engine.dispose()


def test_cancelled_items_do_not_stop_the_writer(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    upgrade(engine)
    run, lease = _new_run(engine)
    writer = CatalogueWriter(engine, lease, run, SourceContext("x", frozenset({"https"})), RunOptions(), "salt")
    for name in "abcdefgh":
        writer.save_items([Sighting(source_id=name, media_url=ITEM.media_url)], None).cancel()
    assert writer.save_items([Sighting(source_id="z", media_url=ITEM.media_url)], None).result(timeout=30).requests
    writer.close()
    assert writer.error is None
    engine.dispose()


def _new_run(engine: Any) -> tuple[int, Lease]:
    with transaction(engine) as connection:
        row = {"source": "x", "query": {}, "options": {}, "state": RunState.STOPPED}
        run = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
        return run, acquire(connection, [run])


def test_nothing_is_requested_while_the_catalogue_is_unavailable() -> None:
    available = [True]
    limit = InFlightLimit(1, lambda: available[0])
    assert not limit.paused
    available[0] = False
    assert limit.paused


@pytest.mark.parametrize("error", [StoreError("Cannot write to the photo store x: No space left on device.")])
def test_full_store_ends_the_crawl_and_leaves_the_photograph_pending(error: StoreError) -> None:
    failures: list[BaseException] = []
    outcomes: list[FetchOutcome] = []

    async def run(*_: object) -> None:
        raise error

    async def download(*_: object) -> Response:
        return Response(ITEM.media_url, body=b"photograph")

    in_flight = InFlightLimit(1)
    in_flight.acquire(ITEM)
    workers = SimpleNamespace(run=run)
    spider: Any = SimpleNamespace(workers=workers, in_flight=in_flight, fail=failures.append, finish=outcomes.append)
    middleware = SimpleNamespace(download_async=download)
    engine = SimpleNamespace(downloader=SimpleNamespace(middleware=middleware, handlers=MagicMock()))
    settings = {"LIGHTMETER_INGEST_TASK": SimpleNamespace(run=None)}
    crawler: Any = SimpleNamespace(spider=spider, engine=engine, settings=settings)

    async def fetch() -> None:
        fetcher = PhotoFetcher(crawler, lambda _: None, lambda _: None, lambda: None)
        fetcher.start(Request(ITEM.media_url, cb_kwargs={"item": ITEM}))
        await fetcher.close()

    asyncio.run(fetch())
    assert failures == [error]
    assert outcomes == []
    assert in_flight.has_capacity
