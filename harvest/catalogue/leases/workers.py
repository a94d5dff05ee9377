"""Workers: processes that download photographs, with leases on hosts and photographs that they must renew."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lightmeter.harvest.catalogue.models import HostRecord, SightingRecord, SightingState, WorkerRecord
from lightmeter.processes import ProcessIdentity

LEASE_S = 60.0
HEARTBEATS_PER_LEASE = 6
_FREE: dict[str, Any] = {"worker": None, "lease_until": None}


class WorkerExpired(Exception):
    """The worker has lost its leases, because it did not renew them in time."""


@dataclass(frozen=True, slots=True)
class WorkerLease:
    """A worker of this process.

    Attributes:
        id: Id of the worker.
        lease_s: Seconds for which leases are taken and renewed.
    """

    id: str
    lease_s: float = LEASE_S

    @classmethod
    def register(cls, connection: Connection, lease_s: float = LEASE_S) -> "WorkerLease":
        """Add a worker; a process whose worker has expired gets another one, which owns nothing of the first."""
        process = str(ProcessIdentity.current())
        now = database_time(connection)
        id_ = f"{process}~{now.timestamp():.6f}"
        row = {
            "id": id_,
            "process": process,
            "lease_until": now + timedelta(seconds=lease_s),
            "heartbeat_at": now,
            "started_at": now,
        }
        connection.execute(insert(WorkerRecord).values(row))
        return cls(id_, lease_s)

    def renew(self, connection: Connection, finished: int = 0, rate: float = 0.0) -> None:
        """Renew all leases of the worker.

        Args:
            connection: Connection of a transaction that writes.
            finished: Photographs that have got a state.
            rate: Photographs per second.

        Raises:
            WorkerExpired: They have expired.
        """
        now = database_time(connection)
        until = now + timedelta(seconds=self.lease_s)
        values = {"lease_until": until, "heartbeat_at": now, "finished": finished, "rate": rate}
        own = (WorkerRecord.id == self.id) & (WorkerRecord.lease_until > now)
        if not connection.execute(update(WorkerRecord).where(own).values(values)).rowcount:
            raise WorkerExpired
        connection.execute(update(HostRecord).where(HostRecord.worker == self.id).values(lease_until=until))
        connection.execute(update(SightingRecord).where(_leased_by([self.id])).values(lease_until=until))

    def expiry(self, connection: Connection) -> datetime:
        """Return when the leases of the worker expire; until the end of the transaction nobody takes them over.

        Raises:
            WorkerExpired: They have expired.
        """
        query = select(WorkerRecord.lease_until).where(WorkerRecord.id == self.id)
        until = connection.scalar(query.with_for_update())
        if until is None or until <= database_time(connection):
            raise WorkerExpired
        return until

    def reserve(self, connection: Connection, sightings: Collection[int]) -> set[int]:
        """Lease pending photographs that nobody has leased; return their ids."""
        if not sightings:
            return set()
        until = self.expiry(connection)
        free = SightingRecord.worker.is_(None) & (SightingRecord.state == SightingState.FOUND)
        statement = update(SightingRecord).where(SightingRecord.id.in_(sightings), free)
        statement = statement.values(worker=self.id, lease_until=until)
        return set(connection.scalars(statement.returning(SightingRecord.id)))

    def keep_only(self, connection: Connection, sightings: Collection[int], hosts: Collection[str]) -> None:
        """Give up leases that the process does not know of, because their transaction was repeated.

        Args:
            connection: Connection of a transaction that writes.
            sightings: Ids of the photographs that the process has leased.
            hosts: Hosts that it has leased.
        """
        unknown = update(SightingRecord).where(_leased_by([self.id]), SightingRecord.id.not_in(sightings))
        connection.execute(unknown.values(_FREE))
        unknown = update(HostRecord).where(HostRecord.worker == self.id, HostRecord.host.not_in(hosts))
        connection.execute(unknown.values(_FREE))

    def end(self, connection: Connection, pauses: Mapping[str, float]) -> None:
        """Give up all leases, and remove the worker.

        Args:
            connection: Connection of a transaction that writes.
            pauses: Seconds for which no request may be sent to hosts of the worker.
        """
        save_pauses(connection, self.id, pauses)
        _remove(connection, [self.id])


def database_time(connection: Connection) -> datetime:
    """Return the time by the clock that all workers share: that of the database's machine."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def save_pauses(connection: Connection, worker: str, pauses: Mapping[str, float]) -> None:
    """Save until when no request may be sent to hosts of a worker, also by the next one."""
    now = database_time(connection)
    for host, pause_s in sorted(pauses.items()):
        own = (HostRecord.host == host) & (HostRecord.worker == worker)
        connection.execute(update(HostRecord).where(own).values(not_before=now + timedelta(seconds=pause_s)))


def remove_ended(connection: Connection) -> None:
    """Remove the workers whose leases have expired, and at once those of this machine whose process has ended."""
    now = database_time(connection)
    rows = connection.execute(select(WorkerRecord.id, WorkerRecord.process, WorkerRecord.lease_until)).all()
    ended = sorted(row.id for row in rows if row.lease_until <= now or _has_ended(row.process))
    dead = [row.id for row in rows if _has_ended(row.process)]
    if not ended:
        return
    # again in the statement: a worker may have renewed its leases meanwhile
    condition = WorkerRecord.id.in_(ended) & ((WorkerRecord.lease_until <= now) | WorkerRecord.id.in_(dead))
    locked = select(WorkerRecord.id).where(condition).order_by(WorkerRecord.id).with_for_update()
    _remove(connection, connection.scalars(locked).all())


def worker_status(connection: Connection) -> dict[str, Any]:
    """Return the workers with their leases, and the sums of these; workers are listed until their leases expire."""
    now = database_time(connection)
    photographs = _count_leases(connection, SightingRecord.worker)
    hosts = _count_leases(connection, HostRecord.worker)
    rows = connection.execute(select(WorkerRecord.__table__).order_by(WorkerRecord.started_at)).all()
    workers = [
        {
            "worker": row.id,
            "process": identity.description if (identity := ProcessIdentity.parse(row.process)) else row.process,
            "active": row.lease_until > now and not _has_ended(row.process),
            "started_at": row.started_at.isoformat(),
            "heartbeat_age_s": round((now - row.heartbeat_at).total_seconds(), 1),
            "lease_ends_in_s": round((row.lease_until - now).total_seconds(), 1),
            "finished": row.finished,
            "rate": round(row.rate, 1),
            "photographs": photographs.get(row.id, 0),
            "hosts": hosts.get(row.id, 0),
        }
        for row in rows
    ]
    active = [worker for worker in workers if worker["active"]]
    leases = {
        "workers": len(active),
        "rate": round(sum(worker["rate"] for worker in active), 1),
        "photographs": sum(photographs.values()),
        "hosts": sum(hosts.values()),
        "expired": sum(photographs.values()) - sum(worker["photographs"] for worker in active),
    }
    return {"workers": workers, "leases": leases}


def active_workers(connection: Connection) -> list[Row[Any]]:
    """Return the workers whose leases have not expired, the oldest first."""
    query = select(WorkerRecord.__table__).where(WorkerRecord.lease_until > database_time(connection))
    rows = connection.execute(query.order_by(WorkerRecord.started_at, WorkerRecord.id)).all()
    return [row for row in rows if not _has_ended(row.process)]


def _count_leases(connection: Connection, worker: Any) -> dict[str, int]:
    query = select(worker, func.count()).where(worker.is_not(None)).group_by(worker)
    return dict(connection.execute(query).all())


def _has_ended(process: str) -> bool:
    identity = ProcessIdentity.parse(process)
    return identity is not None and identity.is_local and not identity.is_running


def _remove(connection: Connection, workers: Collection[str]) -> None:
    if not workers:
        return
    connection.execute(delete(WorkerRecord).where(WorkerRecord.id.in_(workers)))
    connection.execute(update(HostRecord).where(HostRecord.worker.in_(workers)).values(_FREE))
    connection.execute(update(SightingRecord).where(_leased_by(workers)).values(_FREE))


def _leased_by(workers: Collection[str]) -> Any:
    return SightingRecord.worker.in_(workers)
