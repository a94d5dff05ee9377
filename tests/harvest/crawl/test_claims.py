"""Claims of a process whose leases expire meanwhile: what it had as an earlier worker is not claimed again."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, update

from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for, read, write
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.claims import Claimed, ClaimRequest
from lightmeter.harvest.catalogue.leases.workers import WorkerExpired
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingRecord, WorkerRecord
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.claims import Claims
from lightmeter.harvest.sources.base import Sighting

CONTEXT = SourceContext("site", frozenset({"https"}))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty catalogue."""
    engine = engine_for(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: Engine) -> Iterator[CatalogueWriter]:
    """A writer for a run with twenty pending photographs of one host."""

    def fill(connection: Any) -> int:
        row = {"source": "x", "query": {}, "options": {"require": []}, "state": RunState.STOPPED}
        run = int(connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one())
        urls = [f"https://a.org/{number}.jpg" for number in range(20)]
        save_items(
            connection, run, CONTEXT, [Sighting(source_id=url, media_url=url) for url in urls], RunOptions(), None
        )
        return run

    writer = CatalogueWriter(engine, None, write(engine, fill), CONTEXT, RunOptions(), "salt")
    yield writer
    writer.close()


def test_claim_for_an_earlier_worker_leases_nothing(engine: Engine, writer: CatalogueWriter) -> None:
    """A claim may wait in the queue while the writer notices that the leases have expired."""
    earlier = writer.worker
    assert len(writer.claim(ClaimRequest(), earlier).result().items) == 20
    past = update(WorkerRecord).values(lease_until=datetime(2000, 1, 1, tzinfo=UTC))
    write(engine, lambda connection: connection.execute(past))
    stale = ClaimRequest(held={"a.org": 1})  # leased by nobody by then, or by another worker
    for _ in range(2):
        with pytest.raises(WorkerExpired):
            writer.claim(stale, earlier).result()
    assert writer.worker != earlier
    leased = select(func.count()).where(SightingRecord.worker == writer.worker)
    assert read(engine, lambda connection: connection.scalar(leased)) == 0
    claimed = writer.claim(ClaimRequest(), writer.worker).result()
    assert (len(claimed.items), [*claimed.hosts]) == (20, ["a.org"])


@pytest.mark.parametrize("expires", [False, True])
def test_result_of_an_expired_worker_is_not_scheduled(expires: bool) -> None:
    """The result of a claim may wait in the event loop while the writer notices that the leases have expired."""
    item = RequestItem(1, "https://a.org/1.jpg", worker="first")
    claims_made: list[str] = []
    scheduled: list[RequestItem] = []
    writer: Any = SimpleNamespace(worker="first", is_valid=True)
    scheduler = SimpleNamespace(waiting_hosts=set, active_hosts=set, pauses=dict, wake=lambda: None)
    spider: Any = SimpleNamespace(scheduler=scheduler, schedule=scheduled.append, abandon_photos=lambda: None)

    def claim(_: ClaimRequest, worker: str) -> Future[Claimed]:
        future: Future[Claimed] = Future()
        claims_made.append(worker)
        if len(claims_made) == 1:
            future.set_result(Claimed([("a.org", item)], {"a.org": 0.0}))
            if expires:
                writer.worker = "second"
                claims._expire()
        else:
            future.set_result(Claimed(pending=False))
        return future

    async def work() -> None:
        claims.start(spider)
        while not claims.exhausted:
            await asyncio.sleep(0.01)
            if not claims_made[1:]:
                claims.notify()
        assert claims.may_request("a.org") is not expires
        claims.close()

    writer.claim = claim
    claims = Claims(writer, None)
    asyncio.run(work())
    assert scheduled == ([] if expires else [item])
    assert claims_made[:2] == ["first", "second" if expires else "first"]
