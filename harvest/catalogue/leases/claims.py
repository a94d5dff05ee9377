"""Claims: a worker leases hosts, and pending photographs of them in batches."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, literal_column, or_, select, update

from lightmeter.harvest.catalogue.database.rows import upsert
from lightmeter.harvest.catalogue.ingest import request_items
from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.catalogue.leases.workers import (
    WorkerLease,
    active_workers,
    database_time,
    remove_ended,
    save_pauses,
)
from lightmeter.harvest.catalogue.models import HarvestRun, HostRecord, SightingRecord, WorkerRecord

MAX_HOSTS = 200
"""Hosts that one worker has leased at a time."""

MAX_PHOTOGRAPHS = 1000
"""Photographs that one worker has leased at a time, about."""

MIN_BATCH, MAX_BATCH = 10, 200
"""Photographs of one host that a worker has leased at a time."""

_S = SightingRecord
_FOUND: ColumnElement[str] = literal_column(
    "'found'"
)  # as in the condition of the index, which a parameter would not match


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a worker has, and what it may be given.

    Attributes:
        runs: Ids of the runs whose photographs are claimed; None for all.
        files: Whether photographs without a host are claimed: files and archives of this machine.
        held: Number of photographs in hand, by leased host; those without a host under an empty name.
        idle: Seconds that the pauses of hosts still last to which no request is waiting or under way.
        pauses: The same for other hosts.
        wanted: Further hosts that are to be leased, for web pages and redirected photographs.
    """

    runs: Collection[int] | None = None
    files: bool = True
    held: Mapping[str, int] = field(default_factory=dict)
    idle: Mapping[str, float] = field(default_factory=dict)
    pauses: Mapping[str, float] = field(default_factory=dict)
    wanted: Collection[str] = ()


@dataclass(slots=True)
class Claimed:
    """What a worker is given.

    Attributes:
        items: Photographs, each with the host that it belongs to.
        hosts: Hosts that are leased now, with the seconds until requests may be sent to them.
        released: Hosts that are not leased any longer.
        pending: Whether any photograph of the runs is pending, also if another worker has leased it.
        batch: Number of photographs of one host that the worker should have in hand.
    """

    items: list[tuple[str, RequestItem]] = field(default_factory=list)
    hosts: dict[str, float] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    pending: bool = True
    batch: int = MAX_BATCH


def claim(connection: Connection, worker: WorkerLease, request: ClaimRequest) -> Claimed:
    """Lease photographs of the hosts that a worker has leased, and further hosts up to its share.

    Hosts are shared evenly: if others work too, a worker releases what exceeds its share when it has nothing to do
    there. A host that has no photographs left is released.

    Args:
        connection: Connection of a transaction that writes.
        worker: The worker.
        request: What it has.

    Raises:
        WorkerExpired: The worker has lost its leases.
    """
    remove_ended(connection)
    return _Claim(connection, worker, request).run()


class _Claim:
    """One claim."""

    def __init__(self, connection: Connection, worker: WorkerLease, request: ClaimRequest) -> None:
        self._connection, self._worker, self._request = connection, worker, request
        self._until = worker.expiry(connection)
        self._now = database_time(connection)
        self._workers = connection.scalars(select(WorkerRecord.id)).all()
        self._runs = self._pending_runs()
        self._claimed = Claimed(pending=bool(self._runs))
        self._held = set(request.held) - {""}

    def run(self) -> Claimed:
        save_pauses(self._connection, self._worker.id, {**self._request.pauses, **self._request.idle})
        share = self._share()
        self._refill(share)
        if len(self._held) < share:
            self._lease_hosts(share)
        for host in sorted(set(self._request.wanted) - self._held):
            self._lease_host(host)
        return self._claimed

    def _pending_runs(self) -> list[int]:
        """Return the runs that have pending photographs."""
        pending = exists().where(_S.state == _FOUND, _S.run_id == HarvestRun.id)
        if not self._request.files:
            pending = pending.where(_S.host > "")
        query = select(HarvestRun.id).where(pending).order_by(HarvestRun.id)
        if self._request.runs is not None:
            query = query.where(HarvestRun.id.in_(self._request.runs))
        return list(self._connection.scalars(query))

    def _share(self) -> int:
        """Return the number of hosts that the worker may have, and set the size of its batches."""
        workers = len(active_workers(self._connection))
        limit = MAX_HOSTS * workers
        number = 0
        for run in self._runs:
            hosts = _hosts(run).subquery()
            limited = select(hosts.c.host).where(hosts.c.host.is_not(None)).limit(limit - number).subquery()
            number += self._connection.scalar(select(func.count()).select_from(limited)) or 0
            if number >= limit:
                break
        share = max(1, min(MAX_HOSTS, -(-number // workers)))
        self._claimed.batch = max(MIN_BATCH, min(MAX_BATCH, MAX_PHOTOGRAPHS // share))
        return share

    def _refill(self, share: int) -> None:
        """Lease further photographs of the hosts that have few in hand; release those that have none left."""
        if self._request.files:
            self._take("", self._request.held.get("", 0))
        excess = len(self._held) - share
        for host in sorted(self._held):
            idle = host in self._request.idle and host not in self._request.wanted
            if idle and excess > 0:
                excess -= 1
                self._release(host)
            elif not self._take(host, self._request.held[host]) and idle:
                self._release(host)

    def _lease_hosts(self, share: int) -> None:
        """Lease hosts with pending photographs that nobody has leased."""
        for run in self._runs:
            hosts = _hosts(run).subquery()
            query = select(hosts.c.host).outerjoin(HostRecord, HostRecord.host == hosts.c.host)
            query = query.where(hosts.c.host.is_not(None), self._is_free(HostRecord)).limit(share - len(self._held))
            for host in sorted(self._connection.scalars(query)):
                if host not in self._claimed.released and self._lease_host(host) and not self._take(host, 0):
                    self._release(host)
            if len(self._held) >= share:
                return

    def _lease_host(self, host: str) -> bool:
        """Lease a host unless another worker has it; return whether this one has it now."""
        row = {"host": host, "worker": self._worker.id, "lease_until": self._until}
        pause = HostRecord.not_before
        query = upsert(self._connection, HostRecord, row, where=self._is_free(HostRecord)).returning(pause)
        leased = self._connection.execute(query).first()
        if leased is None:
            return False
        pause_s = (leased.not_before - self._now).total_seconds() if leased.not_before else 0.0
        self._claimed.hosts[host] = max(0.0, pause_s)
        self._held.add(host)
        return True

    def _release(self, host: str) -> None:
        own = (HostRecord.host == host) & (HostRecord.worker == self._worker.id)
        self._connection.execute(update(HostRecord).where(own).values(worker=None, lease_until=None))
        self._held.discard(host)
        self._claimed.hosts.pop(host, None)
        self._claimed.released.add(host)

    def _take(self, host: str, in_hand: int) -> bool:
        """Lease photographs of a host if half of its batch is finished; return whether any is in hand."""
        number = self._claimed.batch - in_hand
        if 2 * number < self._claimed.batch or not self._runs:
            return in_hand > 0
        query = select(_S.id, _S.run_id).where(
            _S.state == _FOUND, _S.run_id.in_(self._runs), _S.host == host, self._is_free(_S)
        )
        query = query.order_by(_S.run_id, _S.id).limit(number).with_for_update(skip_locked=True)
        sightings = defaultdict(list)
        for row in self._connection.execute(query):
            sightings[row.run_id].append(row.id)
        items = list(self._lease_photographs(sightings))
        self._claimed.items += [(host, item) for item in items]
        return bool(items) or in_hand > 0

    def _lease_photographs(self, sightings: Mapping[int, Sequence[int]]) -> Iterator[RequestItem]:
        """Lease photographs by run."""
        for run, ids in sightings.items():
            statement = update(_S).where(_S.id.in_(ids))
            self._connection.execute(statement.values(worker=self._worker.id, lease_until=self._until))
            options = self._connection.execute(select(HarvestRun.options).where(HarvestRun.id == run)).scalar_one()
            for item in request_items(self._connection, ids, options["require"]):
                yield replace(item, worker=self._worker.id)

    def _is_free(self, table: Any) -> Any:
        """Return the condition that nobody has leased a row; also if its worker is not known any longer."""
        forgotten = (table.lease_until <= self._now) & table.worker.not_in(self._workers)
        return or_(table.worker.is_(None), forgotten)


def _hosts(run: int) -> Select[Any]:
    """Return the query of the hosts of a run's pending photographs, which jumps in the index from host to host."""
    pending = select(func.min(_S.host).label("host")).where(_S.state == _FOUND, _S.run_id == run)
    first = pending.where(_S.host > "").cte("pending_hosts", recursive=True)
    following = pending.where(_S.host > first.c.host).correlate(first).scalar_subquery()
    hosts = first.union_all(select(following).where(first.c.host.is_not(None)))
    return select(hosts.c.host)
