"""Workers that lease hosts and photographs, on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.claims import Claimed, ClaimRequest, claim
from lightmeter.harvest.catalogue.leases.workers import WorkerExpired, WorkerLease, worker_status
from lightmeter.harvest.catalogue.models import (
    HarvestRun,
    HostRecord,
    RunState,
    SightingRecord,
    SightingState,
    WorkerRecord,
)
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.sources.base import Sighting
from lightmeter.processes import ProcessIdentity

CONTEXT = SourceContext("site", frozenset({"https", "file"}))
PAST = datetime(2000, 1, 1, tzinfo=UTC)
Take = Callable[..., Claimed]


@pytest.fixture
def run(engine: Engine) -> int:
    """A run with ten pending photographs on each of three hosts, and a file."""

    def fill(connection: Any) -> int:
        row = {"source": "x", "query": {}, "options": {"require": []}, "state": RunState.STOPPED}
        run = int(connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one())
        urls = [f"https://{host}.org/{number}.jpg" for host in "abc" for number in range(10)]
        items = [Sighting(source_id=url, media_url=url) for url in [*urls, "file:///1.jpg"]]
        save_items(connection, run, CONTEXT, items, RunOptions(), None)
        return run

    return write(engine, fill)


def _worker(engine: Engine) -> WorkerLease:
    return write(engine, WorkerLease.register)


def _take(engine: Engine, worker: WorkerLease, **request: Any) -> Claimed:
    return write(engine, lambda connection: claim(connection, worker, ClaimRequest(**request)))


def _save(engine: Engine, item: RequestItem) -> None:
    outcome = FetchOutcome(item, SightingState.GONE, "HTTP 404")
    write(engine, lambda connection: save_outcomes(connection, [outcome], "salt"))


def _states(engine: Engine) -> list[str]:
    query = select(SightingRecord.state).where(SightingRecord.state != SightingState.FOUND)
    return list(read(engine, lambda connection: connection.scalars(query).all()))


def _silence(engine: Engine, worker: WorkerLease) -> None:
    """Let a worker's leases expire, as if it were stopped."""

    def expire(connection: Any) -> None:
        connection.execute(update(WorkerRecord).where(WorkerRecord.id == worker.id).values(lease_until=PAST))
        for table in (SightingRecord, HostRecord):
            connection.execute(update(table).where(table.worker == worker.id).values(lease_until=PAST))

    write(engine, expire)


def test_hosts_are_shared_and_belong_to_one_worker_at_a_time(engine: Engine, run: int) -> None:
    alone, other = _worker(engine), _worker(engine)
    first = _take(engine, alone)
    second = _take(engine, other)
    assert len(first.hosts) == 2  # of three, for two workers
    assert len(second.hosts) == 1
    assert not first.hosts.keys() & second.hosts.keys()
    ids = [item.sighting_id for _, item in [*first.items, *second.items]]
    assert len(ids) == len(set(ids)) == 31
    assert {worker.worker for _, worker in first.items} == {alone.id}
    nothing = _take(engine, other, held=dict.fromkeys(second.hosts, 10), wanted=list(first.hosts))
    assert (nothing.items, nothing.hosts, nothing.pending) == ([], {}, True)
    status = read(engine, worker_status)
    assert status["leases"] == {"workers": 2, "rate": 0, "photographs": 31, "hosts": 3, "expired": 0}


def test_pause_of_a_host_holds_for_the_next_worker(engine: Engine, run: int) -> None:
    first, second = _worker(engine), _worker(engine)
    (host, *_) = _take(engine, first).hosts
    write(engine, lambda connection: first.end(connection, {host: 100.0}))
    assert 90 < _take(engine, second, wanted=[host]).hosts[host] <= 100


@pytest.mark.parametrize("lost", ["silent", "killed"])
def test_worker_without_leases_writes_nothing(engine: Engine, run: int, lost: str) -> None:
    first, second = _worker(engine), _worker(engine)
    item = _take(engine, first).items[0][1]
    if lost == "silent":
        _silence(engine, first)
        _save(engine, item)
        assert _states(engine) == []  # also before anybody has taken over
    else:
        ended = str(ProcessIdentity(ProcessIdentity.current().machine, 1, 1))
        change = update(WorkerRecord).where(WorkerRecord.id == first.id).values(process=ended)
        write(engine, lambda connection: connection.execute(change))
    taken = _take(engine, second)
    assert len(taken.items) == 31
    _save(engine, item)
    assert _states(engine) == []
    for work in (first.renew, first.expiry, lambda connection: claim(connection, first, ClaimRequest())):
        with pytest.raises(WorkerExpired):
            write(engine, work)
    again = next(new for _, new in taken.items if new.sighting_id == item.sighting_id)
    _save(engine, again)
    assert _states(engine) == [SightingState.GONE]


def test_leases_of_a_forgotten_worker_expire(engine: Engine, run: int) -> None:
    def forget(connection: Any) -> None:
        lease = {"worker": "somebody", "lease_until": PAST}
        connection.execute(update(SightingRecord).values(lease))
        connection.execute(insert(HostRecord).values(host="a.org", **lease))

    write(engine, forget)
    assert len(_take(engine, _worker(engine)).items) == 31


def test_unknown_leases_of_a_repeated_transaction_are_given_up(engine: Engine, run: int) -> None:
    worker = _worker(engine)
    _take(engine, worker)  # the commit succeeded, but the answer was lost
    write(engine, lambda connection: worker.keep_only(connection, [], []))
    assert len(_take(engine, worker).items) == 31


def test_files_are_left_to_their_machine(engine: Engine, run: int) -> None:
    taken = _take(engine, _worker(engine), files=False)
    assert "" not in {host for host, _ in taken.items}
    assert len(taken.items) == 30


def test_idle_host_without_photographs_is_released(engine: Engine, run: int) -> None:
    worker = _worker(engine)
    hosts = _take(engine, worker).hosts
    released = _take(engine, worker, held=dict.fromkeys(hosts, 0), idle=dict.fromkeys(hosts, 0.0))
    assert released.released == hosts.keys()
    assert not released.items
