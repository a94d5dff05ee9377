"""The thread that writes the catalogue during a run."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from lightmeter.harvest.catalogue import ingest
from lightmeter.harvest.catalogue.database_errors import CatalogueError
from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.catalogue.items import FetchOutcome, RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases import HEARTBEAT_S, Lease
from lightmeter.harvest.catalogue.models import SightingRecord, SightingState
from lightmeter.harvest.catalogue.outcomes import save_outcomes
from lightmeter.harvest.catalogue.session import read, write
from lightmeter.harvest.sources.base import Sighting, Unreadable

logger = logging.getLogger(__name__)

_COMMIT_INTERVAL_S = 0.5
_COMMIT_SIZE = 200

Items = Sequence[Sighting | Unreadable]

_COMMIT, _CLOSE = object(), object()
_SaveItems = tuple[Items, dict[str, Any] | None, Future[SavedItems]]


class CatalogueWriter:
    """Writes discovered items and outcomes in order, several hundred per transaction, and renews the run's lease.

    Items are committed before any of them is downloaded; outcomes are committed within half a second. A kill therefore
    loses at most the outcomes of the last half second, which ``resume`` downloads again. While the catalogue is locked
    or unreachable, transactions are repeated and `available` is cleared.

    Args:
        engine: Catalogue engine.
        lease: Lease of the run.
        run: Id of the harvest run.
        context: Properties of the run's source.
        options: Options of the run.
        salt: Project salt for the hash of camera serial numbers.
        discard: Deletes a photograph that was stored, but is not kept by the catalogue.

    Attributes:
        repaired: Number of damaged files of the store that were replaced.
        replaced: Ids of images that a sighting no longer names, because its file has changed.
        available: Set unless the catalogue is locked or unreachable.
        error: The exception that stopped the thread, or None.
        on_error: Called by the thread with that exception.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Lease,
        run: int,
        context: SourceContext,
        options: RunOptions,
        salt: str,
        discard: Callable[[str], object] = lambda _: None,
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
        self._discard = discard
        self._last_id = read(engine, lambda connection: connection.scalar(select(func.max(SightingRecord.id))) or 0)
        self._queue: queue.SimpleQueue[_SaveItems | object] = queue.SimpleQueue()
        self._outcomes: deque[FetchOutcome] = deque()  # the thread is not woken for each
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="catalogue-writer", daemon=True)
        self._thread.start()

    def save_items(self, items: Items, cursor: dict[str, Any] | None) -> "Future[SavedItems]":
        """Save discovered items and the checkpoint behind them; the future is done once they are committed."""
        future: Future[SavedItems] = Future()
        self._queue.put((items, cursor, future))
        return future

    @property
    def counts(self) -> Counter[str]:
        """Sightings of this run by state, for progress."""
        with self._lock:
            return Counter(self._counts)

    def save_outcome(self, outcome: FetchOutcome) -> None:
        """Save the outcome of an item with the next commit."""
        self._count({outcome.state: 1, SightingState.FOUND: -1})
        self.repaired += bool(outcome.photo and outcome.photo.repaired)
        self._outcomes.append(outcome)
        if len(self._outcomes) == _COMMIT_SIZE:
            self._queue.put(_COMMIT)

    def check(self) -> None:
        """Raise the exception that stopped the thread, if any."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Write what is queued and stop the thread."""
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
            if isinstance(message, tuple):
                self._commit_items(*message)
            else:
                deadline = self._commit_outcomes()
            if message is _CLOSE:
                return

    def _commit_items(self, items: Items, cursor: dict[str, Any] | None, future: "Future[SavedItems]") -> None:
        if not future.set_running_or_notify_cancel():  # the crawl was stopped meanwhile
            return
        try:
            self.check()
            saved = self._save_items(items, cursor)
            again = len(saved.requests) - saved.states.count(SightingState.FOUND)
            self._count(Counter([*saved.states, *[SightingState.FOUND] * again]))
        except BaseException as error:  # noqa: BLE001 - raised by the future
            self._fail(error)
            future.set_exception(error)
        else:
            future.set_result(saved)

    def _save_items(self, items: Items, cursor: dict[str, Any] | None) -> SavedItems:
        """Save items in one transaction; if the database refuses one of them, each in its own."""
        save = partial(ingest.save_items, run=self._run, context=self._context, options=self._options)
        save = partial(save, items=items, cursor=cursor, last_id=self._last_id)
        try:
            saved: SavedItems = self._write(save)
        except Exception as error:
            if not _is_refused(error):
                raise
            if items and (len(items) > 1 or cursor is not None):
                batches = [self._save_items([item], None) for item in items] + [self._save_items((), cursor)]
                return SavedItems([r for b in batches for r in b.requests], [s for b in batches for s in b.states])
            if not items or isinstance(items[0], Unreadable):
                raise
            logger.debug("the catalogue refuses a record", exc_info=True)
            return self._save_items([Unreadable(str(items[0].source_id), "the catalogue refuses the record")], None)
        return saved

    def _commit_outcomes(self) -> float:
        """Write the queued outcomes, renew the lease if it is time, and return the deadline of the next commit."""
        due = time.monotonic() - self._renewed > HEARTBEAT_S
        outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
        if self.error is None and (outcomes or due):
            try:
                self._write(partial(self._save_outcomes, outcomes=outcomes))
            except BaseException as error:  # noqa: BLE001 - raised by `check`
                self._fail(error)
        return time.monotonic() + _COMMIT_INTERVAL_S

    def _save_outcomes(self, connection: Connection, outcomes: Sequence[FetchOutcome]) -> None:
        self._lease.renew(connection)
        self._renewed = time.monotonic()
        if not outcomes:
            return
        saved = save_outcomes(connection, outcomes, self._salt)
        self.replaced |= saved.replaced
        for sha256 in saved.discard:
            self._discard(sha256)

    def _count(self, changes: Mapping[SightingState, int]) -> None:
        with self._lock:
            for state, number in changes.items():
                self._counts[state] += number

    def _write(self, work: Callable[[Connection], Any]) -> Any:
        try:
            return write(self._engine, work, lambda _: self.available.clear())
        finally:
            self.available.set()

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self.on_error(error)


def _is_refused(error: Exception) -> bool:
    """Return whether a value is to blame, and not a database that is locked, full or unreachable."""
    return error.refused if isinstance(error, CatalogueError) else not isinstance(error, DBAPIError)
