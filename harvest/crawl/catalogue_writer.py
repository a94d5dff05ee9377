"""The thread that writes the catalogue during a run."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from lightmeter.harvest.catalogue import ingest
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.catalogue.items import FetchOutcome, RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.claims import Claimed, ClaimRequest, claim
from lightmeter.harvest.catalogue.leases.runs import Lease, finish_discovered
from lightmeter.harvest.catalogue.leases.workers import HEARTBEATS_PER_LEASE, LEASE_S, WorkerExpired, WorkerLease
from lightmeter.harvest.catalogue.models import SightingRecord, SightingState
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.sources.base import Sighting, Unreadable

logger = logging.getLogger(__name__)

_COMMIT_INTERVAL_S = 0.5
_COMMIT_SIZE = 200
_VALID_SHARE = 0.95  # of the time of a lease: clocks of machines do not run exactly alike

Items = Sequence[Sighting | Unreadable]

_COMMIT, _CLOSE = object(), object()
_now = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # counts while suspended


@dataclass(frozen=True, slots=True)
class _SaveItems:
    items: Items
    cursor: dict[str, Any] | None
    reserve: bool
    future: "Future[SavedItems]"


@dataclass(frozen=True, slots=True)
class _MakeClaim:
    request: ClaimRequest
    worker: str
    future: "Future[Claimed]"


class CatalogueWriter:
    """Writes discovered items and outcomes in order, several hundred per transaction, and leases photographs.

    It is a worker of the catalogue: it claims pending photographs, and renews its leases on them and on the run. If
    they have expired, because the process was stopped or the catalogue unreachable, nothing is written for them, and
    it goes on as another worker.

    Items are committed before any of them is downloaded; outcomes are committed within half a second. A kill therefore
    loses at most the outcomes of the last half second, which ``resume`` downloads again. While the catalogue is locked
    or unreachable, transactions are repeated and `available` is cleared.

    Args:
        engine: Catalogue engine.
        lease: Lease of the run; None to work for runs of other processes.
        run: Id of the harvest run.
        context: Properties of the run's source.
        options: Options of the run.
        salt: Project salt for the hash of camera serial numbers.
        lease_s: Seconds for which photographs and hosts are leased.

    Attributes:
        repaired: Number of damaged files of the store that were replaced.
        replaced: Ids of images that a sighting no longer names, because its file has changed.
        reasons: Number of outcomes by state and the reason before its details.
        pauses: Seconds until requests may be sent to hosts, set at the end for the next worker.
        available: Set unless the catalogue is locked or unreachable.
        error: The exception that stopped the thread, or None.
        on_error: Called by the thread with that exception.
        publish: Makes staged photographs durable, before the catalogue names them.
        discard: Deletes a photograph that was stored, but is not kept by the catalogue.
        on_expired: Called by the thread when its leases have expired.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Lease | None,
        run: int,
        context: SourceContext,
        options: RunOptions,
        salt: str,
        lease_s: float = LEASE_S,
    ) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.repaired = 0
        self.replaced: set[int] = set()
        self.available = threading.Event()
        self.available.set()
        self.error: BaseException | None = None
        self.on_error: Callable[[BaseException], object] = lambda _: None
        self._engine, self._lease = engine, lease
        self._run, self._context, self._options, self._salt = run, context, options, salt
        self.on_expired: Callable[[], object] = lambda: None
        self.publish: Callable[[Collection[str]], object] = lambda _: None
        self.discard: Callable[[str], object] = lambda _: None
        self._leased: set[int] = set()
        self._authorisations: dict[int, str] = {}
        self._uncertain = False  # whether a transaction was repeated whose commit may have succeeded
        self._finished = self._reported = 0
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.pauses: Mapping[str, float] = {}
        self._last_id = read(engine, lambda connection: connection.scalar(select(func.max(SightingRecord.id))) or 0)
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._outcomes: deque[FetchOutcome] = deque()  # the thread is not woken for each
        self._lease_s = lease_s
        self._register()
        self._thread = threading.Thread(target=self._loop, name="catalogue-writer", daemon=True)
        self._thread.start()

    def save_items(self, items: Items, cursor: dict[str, Any] | None, *, reserve: bool = False) -> "Future[SavedItems]":
        """Save discovered items and the checkpoint behind them; the future is done once they are committed.

        Requests for photographs that this worker has leased name it. These are photographs with credentials, which no
        other process has, and all if ``reserve`` is set.
        """
        future: Future[SavedItems] = Future()
        self._queue.put(_SaveItems(items, cursor, reserve, future))
        return future

    def claim(self, request: ClaimRequest, worker: str) -> "Future[Claimed]":
        """Lease hosts and photographs; the future raises `WorkerExpired` if this worker has lost those that it had.

        Args:
            request: What the worker has, and what it may be given.
            worker: Its id. By the time of the claim this process may be another worker, which has nothing of it.
        """
        future: Future[Claimed] = Future()
        self._queue.put(_MakeClaim(request, worker, future))
        return future

    @property
    def worker(self) -> str:
        """Id of the worker that this process is now."""
        return self._worker.id

    @property
    def is_valid(self) -> bool:
        """Whether the leases have not expired, by the clock of this machine."""
        return _now() < self._valid_until

    def holds(self, item: RequestItem) -> bool:
        """Return whether an item was not leased by an earlier worker of this process, whose leases have expired."""
        return item.worker in {None, self.worker}

    @property
    def counts(self) -> Counter[str]:
        """Sightings of this run by state, for progress."""
        with self._lock:
            return Counter(self._counts)

    @property
    def leased(self) -> int:
        """Number of photographs that are leased."""
        return len(self._leased)

    @property
    def lease_age_s(self) -> float:
        """Seconds since the leases were renewed."""
        return _now() - self._renewed

    def save_outcome(self, outcome: FetchOutcome) -> None:
        """Save the outcome of an item with the next commit."""
        self._count({outcome.state: 1, SightingState.FOUND: -1})
        self._finished += 1
        self.reasons[outcome.state, (outcome.reason or "").partition(":")[0]] += 1
        self.repaired += bool(outcome.photo and outcome.photo.repaired)
        self._outcomes.append(outcome)
        if len(self._outcomes) == _COMMIT_SIZE:
            self._queue.put(_COMMIT)

    def check(self) -> None:
        """Raise the exception that stopped the thread, if any."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Write what is queued, give up all leases and stop the thread."""
        self._queue.put(_CLOSE)
        self._thread.join()

    def _loop(self) -> None:
        deadline = time.monotonic() + _COMMIT_INTERVAL_S
        while True:
            try:
                message = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                deadline = self._commit_outcomes()
                continue
            if isinstance(message, _SaveItems):
                self._commit_items(message, message.future)
            elif isinstance(message, _MakeClaim):
                self._make_claim(message, message.future)
            else:
                deadline = self._commit_outcomes()
            if message is _CLOSE:
                self._end()
                return

    def _register(self) -> None:
        """Become a worker that has leased nothing."""
        started = _now()
        self._worker = write(self._engine, partial(WorkerLease.register, lease_s=self._lease_s))
        self._renewed_at(started)
        self._leased.clear()

    def _renewed_at(self, started: float) -> None:
        """Note that leases were renewed by a transaction that was begun at a time."""
        self._renewed, self._reported = started, self._finished
        self._valid_until = started + _VALID_SHARE * self._lease_s

    def _end(self) -> None:
        if self.error is None:
            with suppress(CatalogueError):  # otherwise the leases expire
                self._write(lambda connection: self._worker.end(connection, self.pauses))

    def _expire(self) -> None:
        """Become another worker, as the leases have expired."""
        self._register()
        self.on_expired()

    def _make_claim(self, message: _MakeClaim, future: "Future[Claimed]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        if len(self._outcomes) >= len(self._leased):  # they decide whether any photograph is pending
            self._commit_outcomes()
        if message.worker != self._worker.id:
            future.set_exception(WorkerExpired())
            return
        try:
            self.check()
            claimed = self._write(partial(self._claim, request=message.request))
        except WorkerExpired as error:
            self._expire()
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - raised by the future
            self._fail(error)
            future.set_exception(error)
        else:
            self._uncertain = False
            self._leased.update(item.sighting_id for _, item in claimed.items)
            claimed.items = [
                (host, replace(item, authorisation=self._authorisations.get(item.sighting_id)))
                for host, item in claimed.items
            ]
            future.set_result(claimed)

    def _claim(self, connection: Connection, request: ClaimRequest) -> Claimed:
        if self._uncertain:
            self._worker.keep_only(connection, self._leased, request.held)
        claimed = claim(connection, self._worker, request)
        finish_discovered(connection)
        return claimed

    def _commit_items(self, message: _SaveItems, future: "Future[SavedItems]") -> None:
        if not future.set_running_or_notify_cancel():  # the crawl was stopped meanwhile
            return
        try:
            self.check()
            saved = self._save_items(message.items, message.cursor, message.reserve)
            again = len(saved.requests) - saved.states.count(SightingState.FOUND)
            self._count(Counter([*saved.states, *[SightingState.FOUND] * again]))
        except BaseException as error:  # noqa: BLE001 - raised by the future
            self._fail(error)
            future.set_exception(error)
        else:
            future.set_result(saved)

    def _save_items(self, items: Items, cursor: dict[str, Any] | None, reserve: bool) -> SavedItems:
        """Save items in one transaction; if the database refuses one of them, each in its own."""
        save = partial(ingest.save_items, run=self._run, context=self._context, options=self._options)
        save = partial(save, items=items, cursor=cursor, last_id=self._last_id)

        def save_and_reserve(connection: Connection) -> SavedItems:
            if self._lease is not None:
                self._lease.renew(connection)
            saved = save(connection)
            own = [item.sighting_id for item in saved.requests if reserve or item.authorisation]
            reserved = self._worker.reserve(connection, own)
            worker = self._worker.id
            requests = [replace(i, worker=worker) if i.sighting_id in reserved else i for i in saved.requests]
            return SavedItems(requests, saved.states)

        try:
            saved: SavedItems = self._write(save_and_reserve)
        except WorkerExpired:
            self._expire()
            return self._save_items(items, cursor, reserve)
        except Exception as error:
            if not _is_refused(error):
                raise
            if items and (len(items) > 1 or cursor is not None):
                batches = [self._save_items([item], None, reserve) for item in items]
                batches.append(self._save_items((), cursor, reserve))
                return SavedItems([r for b in batches for r in b.requests], [s for b in batches for s in b.states])
            if not items or isinstance(items[0], Unreadable):
                raise
            logger.debug("the catalogue refuses a record", exc_info=True)
            record = Unreadable(str(items[0].source_id), "the catalogue refuses the record")
            return self._save_items([record], None, reserve)
        self._leased.update(item.sighting_id for item in saved.requests if item.worker)
        self._authorisations |= {item.sighting_id: item.authorisation for item in saved.requests if item.authorisation}
        return saved

    def _commit_outcomes(self) -> float:
        """Write the queued outcomes, renew the lease if it is time, and return the deadline of the next commit."""
        started = _now()
        due = started - self._renewed > self._lease_s / HEARTBEATS_PER_LEASE
        outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
        self._leased -= {o.item.sighting_id for o in outcomes if o.item.worker == self._worker.id}
        if self.error is None and (outcomes or due):
            try:
                self.publish([outcome.photo.sha256 for outcome in outcomes if outcome.photo])
                self._write(partial(self._save_outcomes, outcomes=outcomes, renew=due))
                if due:
                    self._renewed_at(started)
            except WorkerExpired:  # nothing is written: other workers download the photographs
                self._expire()
            except BaseException as error:  # noqa: BLE001 - raised by `check`
                self._fail(error)
        return time.monotonic() + _COMMIT_INTERVAL_S

    def _save_outcomes(self, connection: Connection, outcomes: Sequence[FetchOutcome], *, renew: bool) -> None:
        if self._lease is not None:
            self._lease.renew(connection)
        if renew:
            rate = (self._finished - self._reported) / max(_now() - self._renewed, 0.1)
            self._worker.renew(connection, self._finished, rate)
        if not outcomes:
            return
        saved = save_outcomes(connection, outcomes, self._salt)
        self.replaced |= saved.replaced
        for sha256 in saved.discard:
            self.discard(sha256)

    def _count(self, changes: Mapping[SightingState, int]) -> None:
        with self._lock:
            for state, number in changes.items():
                self._counts[state] += number

    def _write(self, work: Callable[[Connection], Any]) -> Any:
        try:
            return write(self._engine, work, self._on_wait)
        finally:
            self.available.set()

    def _on_wait(self, _: CatalogueError) -> None:
        self._uncertain = True
        self.available.clear()

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self.on_error(error)


def _is_refused(error: Exception) -> bool:
    """Return whether a value is to blame, and not a database that is locked, full or unreachable."""
    return error.refused if isinstance(error, CatalogueError) else not isinstance(error, DBAPIError)
