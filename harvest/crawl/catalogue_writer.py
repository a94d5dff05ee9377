"""The one thread that writes the catalogue during a run."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Engine

from lightmeter.harvest.catalogue import ingest as writes
from lightmeter.harvest.catalogue.ingest import SavedItems
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.items import FetchOutcome, RunOptions, SourceContext
from lightmeter.harvest.sources import PhotoItem

_COMMIT_EVERY_S = 0.5
_COMMIT_EVERY = 200

Work = Callable[[Connection], Any]


class CatalogueWriter:
    """Writes sightings and outcomes, in the order they come, a few hundred to a transaction.

    Discovery waits for its sightings to be committed before anything of them is fetched; outcomes are committed within
    half a second. A process killed at any moment therefore loses half a second of outcomes, which `resume` fetches
    again, and nothing else.

    Args:
        engine: of the catalogue.
        run: the run's number.
        origin: where the run's sightings come from.
        options: of the run.
        salt: of the project.

    Attributes:
        counts: sightings of this run by state, as they are being written; for progress.
        known: sightings met that an earlier run had found.
        failure: why the thread gave up, if it did.
    """

    def __init__(self, engine: Engine, run: int, origin: SourceContext, options: RunOptions, salt: str) -> None:
        self.counts: Counter[str] = Counter()
        self.known = 0
        self.failure: BaseException | None = None
        self._engine, self._run, self._origin, self._options, self._salt = engine, run, origin, options, salt
        self._inbox: queue.SimpleQueue[FetchOutcome | tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._outcomes: list[FetchOutcome] = []
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)
        self._thread.start()

    def register(self, sightings: Sequence[PhotoItem], cursor: dict[str, Any] | None) -> "Future[SavedItems]":
        """Record discovered sightings and the checkpoint behind them; the future is done once they are committed."""
        future: Future[SavedItems] = Future()

        def work(connection: Connection) -> SavedItems:
            done = writes.save_items(connection, self._run, self._origin, sightings, self._options, cursor)
            self.known += done.known
            self.counts.update(done.new)
            return done

        self._inbox.put((work, future))
        return future

    def record(self, outcome: FetchOutcome) -> None:
        """Record what became of a job, soon."""
        self.counts[outcome.state] += 1
        self.counts[SightingState.FOUND] -= 1
        self._inbox.put(outcome)

    def check(self) -> None:
        """Raise what made the thread give up, if it did."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Write what is left and end the thread.

        Raises:
            Exception: what made the thread give up, if it did.
        """
        self._inbox.put(None)
        self._thread.join()
        self.check()

    def _loop(self) -> None:
        due = time.monotonic() + _COMMIT_EVERY_S
        open_ = True
        while open_:
            try:
                message = self._inbox.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                due = self._commit()
                continue
            if message is None:
                open_ = False
                self._commit()
            elif isinstance(message, FetchOutcome):
                self._outcomes.append(message)
                if len(self._outcomes) >= _COMMIT_EVERY:
                    due = self._commit()
            else:
                self._answer(*message)

    def _answer(self, work: Work, future: "Future[Any]") -> None:
        try:
            with self._engine.begin() as connection:
                result = work(connection)
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits
            self.failure = error
            future.set_exception(error)
        else:
            future.set_result(result)

    def _commit(self) -> float:
        """Write the outcomes that have come; return when to do so next."""
        if self._outcomes and self.failure is None:
            try:
                with self._engine.begin() as connection:
                    writes.save_outcomes(connection, self._outcomes, self._salt)
            except BaseException as error:  # noqa: BLE001 - told by `close`
                self.failure = error
        self._outcomes.clear()
        return time.monotonic() + _COMMIT_EVERY_S
