"""The catalogue in memory: photographs, labels and predictions, kept current while a browser shows them."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Engine, select, text

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import read, write
from lightmeter.harvest.catalogue.models import Image
from lightmeter.harvest.catalogue.query.comparisons import Condition
from lightmeter.harvest.catalogue.query.saved import resolve_query
from lightmeter.labels.browser.columns import Column, Mask, Numbers, Photographs, read_photographs
from lightmeter.labels.browser.facts import image_ids
from lightmeter.labels.browser.label_columns import LabelColumns
from lightmeter.labels.browser.matching import Matcher
from lightmeter.labels.browser.predictions import Predictions, read_run_predictions
from lightmeter.labels.browser.queues import queue_mask
from lightmeter.labels.browser.views import State, View
from lightmeter.project import Project
from lightmeter.text.names import name_key

Result = TypeVar("Result")

_MIN_VIEWS, _MAX_VIEWS = 4, 64
_MAX_VIEW_ROWS = 20_000_000  # of all views, if these are more than `_MIN_VIEWS`
_MIN_AGE_S = 2.0  # between two readings of the catalogue
_MAX_BUSY = 0.1  # share of the time that reading the catalogue may take while a harvest changes it
_INSTANT_S = 0.15  # a catalogue that is read as fast is read while the page waits
_QUERY_CHARACTERS = frozenset("<>=~!:()\"'@")
_CHANGED_TABLES = ("images", "sightings", "exif", "inspections")


@dataclass
class Snapshot:
    """The catalogue as it was read at one time, with labels that are kept current.

    Attributes:
        photographs: The photographs.
        labels: Labels by target.
        matcher: Finds the photographs that match a query.
        predictions: Facets and confidences by run and target.
        matches: Photographs that match a query and a queue, by these.
    """

    photographs: Photographs
    matcher: Matcher
    labels: dict[str, LabelColumns] = field(default_factory=dict)
    predictions: dict[tuple[str, str], tuple[dict[str, Column], Numbers]] = field(default_factory=dict)
    matches: dict[tuple[Any, ...], tuple[Mask, bool]] = field(default_factory=dict)


class Library:
    """The photographs of a project for one annotator.

    Args:
        project: The project.
        engine: Catalogue engine.
        author: The annotator.
        predictions: Predictions that are shown unless a page names a run.
        blind: Whether the annotator sees photographs and her own labels alone.

    Attributes:
        lock: Held while labels are compared and changed.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        author: str,
        predictions: Predictions | None = None,
        *,
        blind: bool = False,
    ) -> None:
        self.project, self.engine, self.author, self.blind = project, engine, author, blind
        self.lock = threading.RLock()
        self._given = predictions
        self._runs: dict[str, Predictions] = {}
        self._views: OrderedDict[str, tuple[Snapshot, View]] = OrderedDict()
        self._reader: threading.Thread | None = None
        self._counted = self._count_changes()
        self._snapshot = self._read_snapshot()

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshot

    def open_view(self, state: State, *, fresh: bool = False) -> tuple[str, View]:
        """Return the view of a state and its key.

        Args:
            state: What to show.
            fresh: Evaluate the query and the queue again, instead of keeping the photographs found before.

        Raises:
            UsageError: The query, a facet or the target's queue is invalid.
        """
        self._update()
        snapshot = self._snapshot
        columns = dict(snapshot.photographs.columns)
        confidence = np.broadcast_to(np.float64(np.nan), len(snapshot.photographs.ids))
        if state.target:
            columns["label"] = self.labels(state.target, snapshot).column()
        predictions = self.predictions(state)
        if predictions is not None and state.target in predictions.targets:
            key = predictions.name, state.target
            if key not in snapshot.predictions:
                snapshot.predictions[key] = predictions.columns(snapshot.photographs, state.target)
            facets, confidence = snapshot.predictions[key]
            columns |= facets
        base, search = self._matches(snapshot, state, fresh=fresh)
        view = View(snapshot.photographs, state, columns, confidence, base, search)
        view_key = hashlib.sha256(json.dumps([time.time_ns(), id(view)]).encode()).hexdigest()[:20]
        self._views[view_key] = snapshot, view
        max_views = min(max(_MIN_VIEWS, _MAX_VIEW_ROWS // max(len(snapshot.photographs.ids), 1)), _MAX_VIEWS)
        while len(self._views) > max_views:
            self._views.popitem(last=False)
        return view_key, view

    def view(self, key: str) -> tuple[Snapshot, View]:
        """Return a view that was opened before.

        Raises:
            UsageError: It was opened too long ago.
        """
        if key not in self._views:
            raise UsageError("This view has expired; reload the page.")
        self._views.move_to_end(key)
        return self._views[key]

    def labels(self, target: str, snapshot: Snapshot | None = None) -> LabelColumns:
        """Return the labels of a target as they are now."""
        snapshot = snapshot or self._snapshot
        with self.lock:
            if target not in snapshot.labels:
                previous = self._snapshot.labels.get(target)
                snapshot.labels[target] = LabelColumns(
                    snapshot.photographs, target, self.author, previous, own_only=self.blind
                )
            labels = snapshot.labels[target]
            read(self.engine, labels.refresh)
        return labels

    def predictions(self, state: State) -> Predictions | None:
        """Return the predictions that a page shows: those of the run that it names, or those of the command.

        A blind page shows none.

        Raises:
            UsageError: There is no such run.
        """
        name = state.predictions
        if self.blind:
            return None
        if not name or (self._given is not None and name == self._given.name):
            return self._given
        if name not in self._runs:
            self._runs[name] = read_run_predictions(self.project, name)
        return self._runs[name]

    def write(self, work: Callable[[Connection], Result], *, foreign_keys: bool = True) -> Result:
        """Change labels or boxes as `write` does; what was read of the photographs stays valid."""
        current = self._counted == self._count_changes()
        result = write(self.engine, work, foreign_keys=foreign_keys)
        if current:
            self._counted = self._count_changes()
        return result

    def _matches(self, snapshot: Snapshot, state: State, *, fresh: bool) -> tuple[Mask, bool]:
        key = (state.q, state.queue, state.sample, state.seed, state.target)
        if fresh or key not in snapshot.matches:
            snapshot.matches[key] = self._find(snapshot, state)
        return snapshot.matches[key]

    def _find(self, snapshot: Snapshot, state: State) -> tuple[Mask, bool]:
        """Return the photographs that match a query and a queue, and whether the query was taken as text to search."""
        photographs = snapshot.photographs
        mask, search = self._search(snapshot, state.q.strip())
        if state.queue == "unjudged":
            mask = mask & ~self.labels(state.target, snapshot).judged
        elif state.queue != "all":
            in_queue = partial(
                queue_mask, project=self.project, photographs=photographs, target=state.target, kind=state.queue
            )
            mask = mask & read(self.engine, in_queue)
        if state.sample is not None and state.sample < np.count_nonzero(mask):
            ids = np.random.default_rng(state.seed).choice(photographs.ids[mask], state.sample, replace=False)
            mask = photographs.mask_of(ids)
        return mask, search

    def _search(self, snapshot: Snapshot, text: str) -> tuple[Mask, bool]:
        """Return the photographs that match a text, and whether it was taken as words to search for.

        These are searched for if it is no query and has no sign of the query language; a minus sign excludes a word.
        """
        photographs = snapshot.photographs
        if not text:
            return np.ones(len(photographs.ids), bool), False
        try:
            return snapshot.matcher.find(resolve_query(text, self.project)), False
        except UsageError:
            if _QUERY_CHARACTERS & set(text):
                raise
        mask = np.ones(len(photographs.ids), bool)
        for word in name_key(text).split():
            excluded = word.startswith("-") and len(word) > 1
            mask &= photographs.texts.having(word.removeprefix("-") if excluded else word) != excluded
        return mask, True

    def _update(self) -> None:
        """Read the catalogue again if it has changed; a large one in the background."""
        if self._reader is not None and self._reader.is_alive():
            return
        age_s = time.monotonic() - self._read_at
        if age_s < max(_MIN_AGE_S, self._took_s / _MAX_BUSY) and self._took_s > _INSTANT_S:
            return
        changes = self._count_changes()
        if changes == self._counted:
            return
        self._counted = changes

        def work() -> None:
            self._snapshot = self._read_snapshot()

        self._reader = threading.Thread(target=work, daemon=True)
        self._reader.start()
        if self._took_s <= _INSTANT_S:
            self._reader.join()

    def _read_snapshot(self) -> Snapshot:
        start = time.thread_time()  # a busy machine is no reason to read less often
        photographs = read(self.engine, read_photographs)
        if self.blind:
            photographs = photographs.anonymous()

        def labels(target: str) -> LabelColumns:
            return self.labels(target, snapshot)

        def in_catalogue(condition: Condition) -> Mask:
            query = select(Image.id).where(condition)
            return photographs.mask_of(read(self.engine, lambda connection: image_ids(connection, query)))

        snapshot = Snapshot(photographs, Matcher(photographs.facts, labels, in_catalogue))
        self._read_at = time.monotonic()
        self._took_s = time.thread_time() - start
        return snapshot

    def _count_changes(self) -> int:
        """Return a number that differs after each change of the photographs by any process.

        SQLite counts changes of the whole database, as a connection sees them; PostgreSQL those of each table.
        """
        with self.lock, self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                return self._sqlite_changes()
            tables = ", ".join(f"'{name}'" for name in _CHANGED_TABLES)
            statistics = (
                f"SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE relname IN ({tables})"  # noqa: S608
            )
            return int(connection.scalar(text(statistics)) or 0)

    def _sqlite_changes(self) -> int:
        if not hasattr(self, "_connection"):
            self._connection = self.engine.raw_connection()  # the counter is that of one connection
        cursor = self._connection.cursor()
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        cursor.close()
        return int(version)
