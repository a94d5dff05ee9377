"""Leases: the exclusive right of one process to work on a run, which ends with the process."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, select, type_coerce, update

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingRecord, SightingState, UTCDateTime
from lightmeter.processes import ProcessIdentity
from lightmeter.text.numbers import counted

HEARTBEAT_S = 10.0
EXPIRY_S = 120.0
_NOW: ColumnElement[datetime] = type_coerce(func.current_timestamp(), UTCDateTime())


class LeaseLost(LightmeterError):
    """Another process has taken a run over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """This process's right to work on runs.

    Attributes:
        states: State and reason of each run before, by run id.
        process: Identity of this process.
    """

    states: dict[int, tuple[RunState, str | None]]
    process: str

    def renew(self, connection: Connection) -> None:
        """Confirm that this process works on the runs.

        Raises:
            LeaseLost: Another process has taken one of them over.
        """
        renewed = connection.execute(self._update().values(heartbeat_at=_NOW)).rowcount
        if renewed < len(self.states):
            raise LeaseLost("Another process has taken the run over; this one stops.")

    def release(self, connection: Connection, state: RunState, reason: str | None) -> tuple[RunState, str | None]:
        """Record how the runs ended, and give them up; return what was recorded.

        A run with pending photographs is not finished.
        """
        pending = connection.scalar(_pending(self.states)) or 0
        if state == RunState.FINISHED and pending:
            state, reason = RunState.DISCOVERED, f"{counted(pending, 'photograph')} pending"
        values = {"state": state, "reason": reason, "ended_at": datetime.now(UTC), "process": None}
        connection.execute(self._update().values(values))
        return state, reason

    def restore(self, connection: Connection) -> None:
        """Give the runs up in the states that they had before; those with pending photographs are stopped."""
        pending = set(connection.scalars(_pending(self.states, SightingRecord.run_id).distinct()))
        for run, (state, reason) in self.states.items():
            interrupted = run in pending or state == RunState.RUNNING
            before = (RunState.STOPPED, "interrupted") if interrupted else (state, reason)
            values = dict(zip(("state", "reason", "process"), (*before, None), strict=True))
            connection.execute(self._update().where(HarvestRun.id == run).values(values))

    def _update(self) -> Any:
        return update(HarvestRun).where(HarvestRun.id.in_(self.states), HarvestRun.process == self.process)


def acquire(connection: Connection, runs: Collection[int]) -> Lease:
    """Take runs that no running process works on; their state becomes ``running``.

    Args:
        connection: Connection of a transaction that writes.
        runs: Ids of existing runs.

    Raises:
        UsageError: Another process works on one of the runs.
    """
    rows = _lock_rows(connection, runs)
    for row in rows:
        if _is_active(row):
            raise UsageError(running_message(row.id, row.process))
    process = str(ProcessIdentity.current())
    values = {"state": RunState.RUNNING, "reason": None, "process": process, "heartbeat_at": _NOW}
    connection.execute(update(HarvestRun).where(HarvestRun.id.in_(list(runs))).values(values))
    return Lease({row.id: (row.state, row.reason) for row in rows}, process)


def finish_discovered(connection: Connection) -> None:
    """Record that runs are finished whose photographs other workers have downloaded."""
    pending = _pending_of(HarvestRun.id)
    discovered = update(HarvestRun).where(HarvestRun.state == RunState.DISCOVERED, ~pending)
    connection.execute(discovered.values(state=RunState.FINISHED, reason=None, ended_at=datetime.now(UTC)))


def active_runs(connection: Connection, runs: Iterable[int] | None = None) -> dict[int, str]:
    """Return the runs that a running process works on, with the identity of the process.

    Args:
        connection: Catalogue connection.
        runs: Ids of runs to check; None for all.
    """
    query = _query().where(HarvestRun.state == RunState.RUNNING)
    if runs is not None:
        query = query.where(HarvestRun.id.in_(list(runs)))
    return {row.id: row.process for row in connection.execute(query) if _is_active(row)}


def running_message(run: int, process: str) -> str:
    """Return the sentence that refuses to work on a run of another process."""
    owner = ProcessIdentity.parse(process)
    return f"Run {run} is running in {owner.description if owner else process}; stop it first, or wait until it ends."


def _query() -> Select[Any]:
    columns: tuple[Any, ...] = (
        HarvestRun.id,
        HarvestRun.state,
        HarvestRun.reason,
        HarvestRun.process,
        HarvestRun.heartbeat_at,
    )
    return select(*columns, _NOW.label("now"))


def _lock_rows(connection: Connection, runs: Collection[int]) -> Sequence[Row[Any]]:
    query = _query().where(HarvestRun.id.in_(list(runs))).order_by(HarvestRun.id)
    return connection.execute(query.with_for_update()).all()  # SQLite locks the database instead


def _is_active(row: Row[Any]) -> bool:
    """Return whether a process works on a run: it runs on this machine, or was active lately on another one."""
    process = ProcessIdentity.parse(row.process or "")
    if row.state != RunState.RUNNING or process is None:
        return False
    if process.is_local:
        return process.is_running
    return row.heartbeat_at is not None and row.now - row.heartbeat_at < timedelta(seconds=EXPIRY_S)


def _pending_of(run: Any) -> ColumnElement[bool]:
    return exists().where(SightingRecord.run_id == run, SightingRecord.state == SightingState.FOUND)


def _pending(runs: Iterable[int], column: Any = None) -> Select[Any]:
    query = select(func.count() if column is None else column).select_from(SightingRecord)
    return query.where(SightingRecord.run_id.in_(list(runs)), SightingRecord.state == SightingState.FOUND)
