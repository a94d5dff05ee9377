"""Re-running filters on the catalogue: missing or outdated measures are taken again, the others are re-evaluated."""

import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, select, true, update

from lightmeter.errors import UsageError
from lightmeter.executors.base import Executor, Failed, NotRun, Shard, WorkerCrashed
from lightmeter.harvest.catalogue.database.rows import insert_rows
from lightmeter.harvest.catalogue.database.session import pages, read, write
from lightmeter.harvest.catalogue.models import Image, Inspection, Region
from lightmeter.harvest.catalogue.outcomes import inspection_rows, region_rows
from lightmeter.harvest.filters.base import Filter
from lightmeter.harvest.filters.pipeline import InspectionPlan, InspectionResult, StoredPhoto, inspect_stored
from lightmeter.harvest.workers.worker import WorkerTimedOut
from lightmeter.store.base import PhotographError, PhotoStore, StoreError

Inspections = dict[int, dict[str, Row[Any]]]
"""Stored inspections by image id and filter."""


@dataclass
class RescanResult:
    """Result of re-running filters.

    Attributes:
        photographs: Number of photographs processed.
        decoded: Number of photographs decoded because measures were missing or outdated.
        changed: Number of verdicts that changed.
        failed: Number of photographs that could not be decoded or are missing from the store, by reason.
        stopped: Whether Ctrl-C was pressed; completed results are stored.
    """

    photographs: int = 0
    decoded: int = 0
    changed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


def rescan(
    engine: Engine,
    store: PhotoStore,
    plan: InspectionPlan,
    executor: Executor,
    *,
    where: ColumnElement[bool] | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> RescanResult:
    """Update the results of a plan's filters, shard by shard.

    What the catalogue holds says what is done, so that an interrupted run continues.

    Args:
        engine: Engine of the catalogue.
        store: The photo store.
        plan: Filters with their current settings.
        executor: Where photographs are decoded.
        where: Condition on images.
        on_progress: Called with the number of photographs processed since the last call.

    Raises:
        StoreError: The store cannot be read.
    """
    result = RescanResult()
    query = select(Image.id, Image.sha256).where(Image.problem.is_(None), true() if where is None else where)
    plans = _OutdatedPlans(plan)
    waiting: dict[str, tuple[Inspections, Sequence[int]]] = {}

    def shards() -> Iterator[Shard[StoredPhoto]]:
        for page in pages(engine, query, Image.id, executor.shard_size):
            inspections = read(engine, partial(_stored_inspections, image_ids=[image_id for image_id, _ in page]))
            outdated = {image_id: plans.outdated(inspections[image_id]) for image_id, _ in page}
            photos = [StoredPhoto(sha256, store, item) for image_id, sha256 in page if (item := outdated[image_id])]
            waiting[str(page[0][0])] = inspections, [image_id for image_id, item in outdated.items() if item]
            yield Shard(str(page[0][0]), photos)

    with _stop_on_interrupt(result):
        for shard, outcomes in executor.run(inspect_stored, shards(), lambda: result.stopped):
            inspections, image_ids = waiting.pop(shard.key)
            decoded = _count_failures(dict(zip(image_ids, outcomes, strict=True)), result)
            result.changed += write(engine, partial(_save_page, plan.filters, inspections, decoded))
            result.photographs += len(inspections)
            on_progress(len(inspections))
    return result


def _stored_inspections(connection: Connection, image_ids: Collection[int]) -> Inspections:
    inspections: Inspections = {image_id: {} for image_id in image_ids}
    for row in connection.execute(select(Inspection.__table__).where(Inspection.image_id.in_(image_ids))):
        inspections[row.image_id][row.filter] = row
    return inspections


class _OutdatedPlans:
    """Plans with those of the filters whose measures are missing or outdated; equal ones are one object."""

    def __init__(self, plan: InspectionPlan) -> None:
        self._plan = plan
        self._plans: dict[tuple[str, ...], InspectionPlan] = {}

    def outdated(self, inspections: dict[str, Row[Any]]) -> InspectionPlan | None:
        """Return the plan for an image; None if nothing is outdated."""
        filters = tuple(item for item in self._plan.filters if _is_outdated(item, inspections))
        if not filters:
            return None
        return self._plans.setdefault(tuple(item.name for item in filters), replace(self._plan, filters=filters))


def _count_failures(
    outcomes: Mapping[int, InspectionResult | Failed], result: RescanResult
) -> dict[int, InspectionResult]:
    """Return the results of the photographs that could be decoded, and count the others.

    Raises:
        StoreError: The store cannot be read.
    """
    decoded: dict[int, InspectionResult] = {}
    for image_id, outcome in outcomes.items():
        if isinstance(outcome, Failed):
            if not isinstance(outcome.error, NotRun):
                result.failed[_reason(outcome.error)] += 1
        elif outcome.problem:
            result.failed[outcome.problem] += 1
        else:
            decoded[image_id] = outcome
    result.decoded += len(decoded)
    return decoded


def _is_outdated(item: Filter[Any], inspections: dict[str, Row[Any]]) -> bool:
    stored = inspections.get(item.name)
    return stored is None or stored.version != item.version or stored.verdict == "failed"


def _reason(error: Exception) -> str:
    """Return the reason why an inspection failed.

    Raises:
        StoreError: The store cannot be read.
    """
    if isinstance(error, WorkerTimedOut):
        return f"inspection {error}"
    if isinstance(error, WorkerCrashed):
        return f"inspection failed: {error}"
    if isinstance(error, PhotographError):
        return f"store: {error.reason}"
    if isinstance(error, StoreError | UsageError):  # the others would fail alike
        raise error
    return f"internal error: {type(error).__name__}: {error}"


def _save_page(
    filters: Collection[Filter[Any]],
    inspections: Inspections,
    decoded: dict[int, InspectionResult],
    connection: Connection,
) -> int:
    """Save the results of a page, beside other processes; return the number of verdicts that changed."""
    images = select(Image.id).where(Image.id.in_(inspections)).order_by(Image.id).with_for_update()
    existing = set(connection.scalars(images))  # some may have been removed meanwhile
    _replace_inspections(connection, {id_: result for id_, result in decoded.items() if id_ in existing})
    return _update_verdicts(connection, filters, inspections)


def _replace_inspections(connection: Connection, results: dict[int, InspectionResult]) -> None:
    for image_id, result in results.items():
        names = list(result.results)
        connection.execute(delete(Inspection).where(Inspection.image_id == image_id, Inspection.filter.in_(names)))
        connection.execute(delete(Region).where(Region.image_id == image_id, Region.origin.in_(names)))
        insert_rows(connection, Inspection, inspection_rows(image_id, result))
        insert_rows(connection, Region, region_rows(image_id, result))


def _update_verdicts(connection: Connection, filters: Collection[Filter[Any]], inspections: Inspections) -> int:
    """Re-evaluate the stored measures that are up to date; return the number of verdicts that changed."""
    changed = 0
    for by_filter in inspections.values():
        for item in filters:
            if _is_outdated(item, by_filter):
                continue
            row = by_filter[item.name]
            verdict = item.verdict_on(row.measures)
            if (verdict.verdict, verdict.reason) != (row.verdict, row.reason):
                values = {"verdict": verdict.verdict, "reason": verdict.reason}
                connection.execute(update(Inspection).where(Inspection.id == row.id).values(values))
                changed += 1
    return changed


@contextmanager
def _stop_on_interrupt(result: RescanResult) -> Iterator[None]:
    """Let Ctrl-C stop the loop after the current shard."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        result.stopped = True

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
