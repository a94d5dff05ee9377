"""Leases of runs, on SQLite and PostgreSQL."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import transaction
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.runs import Lease, LeaseLost, acquire, active_runs
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingRecord
from lightmeter.harvest.sources.base import Sighting
from lightmeter.processes import ProcessIdentity

ENDED = str(ProcessIdentity(ProcessIdentity.current().machine, 1, 1))
ELSEWHERE = "elsewhere_1~1~1"
CONTEXT = SourceContext("site", frozenset({"https"}))


@pytest.fixture
def new_run(engine: Engine) -> Callable[[], int]:
    """Insert a run and return its id."""

    def insert_run() -> int:
        with transaction(engine) as connection:
            row = {"source": "folder", "query": {}, "options": {}, "state": RunState.STOPPED}
            return connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()

    return insert_run


def _acquire(engine: Engine, run: int) -> Lease:
    with transaction(engine) as connection:
        return acquire(connection, [run])


def _set(engine: Engine, run: int, **values: Any) -> None:
    with transaction(engine) as connection:
        connection.execute(update(HarvestRun).where(HarvestRun.id == run).values(values))


def _pending(engine: Engine, run: int, name: str) -> int:
    """Save a discovered item; return the number of requests."""
    item = Sighting(source_id=name, media_url=f"https://example.org/{name}")
    with transaction(engine) as connection:
        return len(save_items(connection, run, CONTEXT, [item], RunOptions(), None).requests)


def test_running_run_is_refused_until_it_is_released(engine: Engine, new_run: Callable[[], int]) -> None:
    run = new_run()
    lease = _acquire(engine, run)
    with pytest.raises(UsageError, match=f"Run {run} is running in process"):
        _acquire(engine, run)
    with transaction(engine) as connection:
        lease.renew(connection)
        assert lease.release(connection, RunState.FINISHED, None) == (RunState.FINISHED, None)
    _acquire(engine, run)


@pytest.mark.parametrize(
    ("process", "heartbeat", "active"),
    [(ENDED, "2999-01-01", False), (ELSEWHERE, "2999-01-01", True), (ELSEWHERE, "2000-01-01", False)],
    ids=["killed here", "alive elsewhere", "silent elsewhere"],
)
def test_run_of_an_ended_process_is_taken_over(
    engine: Engine, new_run: Callable[[], int], process: str, heartbeat: str, active: bool
) -> None:
    from datetime import UTC, datetime

    run = new_run()
    lease = _acquire(engine, run)
    _set(engine, run, process=process, heartbeat_at=datetime.fromisoformat(heartbeat).replace(tzinfo=UTC))
    with engine.connect() as connection:
        assert (run in active_runs(connection)) is active
    if not active:
        _acquire(engine, run)
    _set(engine, run, process=ELSEWHERE)
    with transaction(engine) as connection, pytest.raises(LeaseLost):
        lease.renew(connection)


def test_run_with_pending_photographs_is_not_finished(engine: Engine, new_run: Callable[[], int]) -> None:
    run = new_run()
    lease = _acquire(engine, run)
    assert _pending(engine, run, "a") == 1
    with transaction(engine) as connection:
        released = lease.release(connection, RunState.FINISHED, None)
    assert released == (RunState.DISCOVERED, "1 photograph pending")


def test_pending_photograph_is_adopted_unless_its_run_is_active(engine: Engine, new_run: Callable[[], int]) -> None:
    first, second = new_run(), new_run()
    _acquire(engine, first)
    assert _pending(engine, first, "a") == 1
    assert _pending(engine, second, "a") == 0
    _set(engine, first, process=ENDED)
    assert _pending(engine, second, "a") == 1
    with engine.connect() as connection:
        assert connection.execute(select(SightingRecord.run_id)).scalar_one() == second
