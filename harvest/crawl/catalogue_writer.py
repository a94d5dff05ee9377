"""The thread that writes the catalogue during a run."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Engine

from lightmeter.harvest.catalogue import ingest
from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.catalogue.items import FetchOutcome, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.sources.base import Sighting

_COMMIT_INTERVAL_S = 0.5
_COMMIT_SIZE = 200

_SaveItems = tuple[Callable[[Connection], SavedItems], Future[SavedItems]]


class CatalogueWriter:
    """Writes discovered items and outcomes in order, several hundred per transaction.

    Items are committed before any of them is downloaded; outcomes are committed within half a second. A kill therefore
    loses at most the outcomes of the last half second, which ``resume`` downloads again.

    Args:
        engine: Catalogue engine.
        run: Id of the harvest run.
        context: Properties of the run's source.
        options: Options of the run.
        salt: Project salt for the hash of camera serial numbers.

    Attributes:
        counts: Sightings of this run by state, for progress.
        error: The exception that stopped the thread, or None.
    """

    def __init__(self, engine: Engine, run: int, context: SourceContext, options: RunOptions, salt: str) -> None:
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._engine, self._run, self._context, self._options, self._salt = engine, run, context, options, salt
        self._queue: queue.SimpleQueue[FetchOutcome | _SaveItems | None] = queue.SimpleQueue()
        self._outcomes: list[FetchOutcome] = []
        self._thread = threading.Thread(target=self._loop, name="catalogue-writer", daemon=True)
        self._thread.start()

    def save_items(self, items: Sequence[Sighting], cursor: dict[str, Any] | None) -> "Future[SavedItems]":
        """Save discovered items and the checkpoint behind them; the future is done once they are committed."""
        future: Future[SavedItems] = Future()

        def save(connection: Connection) -> SavedItems:
            saved = ingest.save_items(connection, self._run, self._context, items, self._options, cursor)
            self.counts.update(saved.states)
            return saved

        self._queue.put((save, future))
        return future

    def save_outcome(self, outcome: FetchOutcome) -> None:
        """Save the outcome of an item with the next commit."""
        self.counts[outcome.state] += 1
        self.counts[SightingState.FOUND] -= 1
        self._queue.put(outcome)

    def check(self) -> None:
        """Raise the exception that stopped the thread, if any."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Write what is queued and stop the thread.

        Raises:
            Exception: The exception that stopped the thread.
        """
        self._queue.put(None)
        self._thread.join()
        self.check()

    def _loop(self) -> None:
        deadline = time.monotonic() + _COMMIT_INTERVAL_S
        while True:
            try:
                message = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                deadline = self._commit_outcomes()
                continue
            if message is None:
                self._commit_outcomes()
                return
            if isinstance(message, FetchOutcome):
                self._outcomes.append(message)
                if len(self._outcomes) >= _COMMIT_SIZE:
                    deadline = self._commit_outcomes()
            else:
                self._commit_items(*message)

    def _commit_items(self, save: Callable[[Connection], SavedItems], future: "Future[SavedItems]") -> None:
        try:
            with self._engine.begin() as connection:
                saved = save(connection)
        except BaseException as error:  # noqa: BLE001 - raised by the future
            self.error = error
            future.set_exception(error)
        else:
            future.set_result(saved)

    def _commit_outcomes(self) -> float:
        """Write the queued outcomes; return the deadline of the next commit."""
        if self._outcomes and self.error is None:
            try:
                with self._engine.begin() as connection:
                    ingest.save_outcomes(connection, self._outcomes, self._salt)
            except BaseException as error:  # noqa: BLE001 - raised by `check`
                self.error = error
        self._outcomes.clear()
        return time.monotonic() + _COMMIT_INTERVAL_S
