"""Re-running filters on the catalogue: missing or outdated measures are taken again, the others are re-evaluated."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, select, true, update

from lightmeter.harvest.catalogue.models import Image, Inspection, Region
from lightmeter.harvest.catalogue.outcomes import inspection_rows, region_rows
from lightmeter.harvest.catalogue.rows import insert_rows
from lightmeter.harvest.catalogue.session import pages, read, write
from lightmeter.harvest.filters.base import Filter
from lightmeter.harvest.filters.pipeline import InspectionPlan, InspectionResult, inspect_stored
from lightmeter.harvest.workers.pool import WorkerPool
from lightmeter.harvest.workers.worker import WorkerCrashed, WorkerTimedOut
from lightmeter.store.base import PhotographError, PhotoStore, StoreError

_PAGE_SIZE = 200

Page = Sequence[tuple[int, str]]
"""Image ids and SHA-256."""

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
        stopped: Whether Ctrl-C was pressed; completed pages are stored.
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
    workers: WorkerPool,
    *,
    where: ColumnElement[bool] | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> RescanResult:
    """Update the results of a plan's filters, page by page.

    Args:
        engine: Engine of the catalogue.
        store: The photo store.
        plan: Filters with their current settings.
        workers: Pool in which photographs are decoded.
        where: Condition on images.
        on_progress: Called with the number of photographs processed since the last call.
    """
    result = RescanResult()
    query = select(Image.id, Image.sha256).where(Image.problem.is_(None), true() if where is None else where)
    with _stop_on_interrupt(result), asyncio.Runner() as runner:
        for page in pages(engine, query, Image.id, _PAGE_SIZE):
            if result.stopped:
                break
            inspections = read(engine, partial(_stored_inspections, image_ids=[image_id for image_id, _ in page]))
            decoded = runner.run(_decode_outdated(page, inspections, store, plan, workers, result))
            result.changed += write(engine, partial(_save_page, plan.filters, inspections, decoded))
            result.photographs += len(page)
            on_progress(len(page))
    return result


def count(engine: Engine, where: ColumnElement[bool] | None = None) -> int:
    """Return the number of photographs that `rescan` processes."""
    query = select(func.count()).select_from(Image).where(Image.problem.is_(None), true() if where is None else where)
    return read(engine, lambda connection: connection.execute(query).scalar_one())


def _stored_inspections(connection: Connection, image_ids: Collection[int]) -> Inspections:
    inspections: Inspections = {image_id: {} for image_id in image_ids}
    for row in connection.execute(select(Inspection.__table__).where(Inspection.image_id.in_(image_ids))):
        inspections[row.image_id][row.filter] = row
    return inspections


async def _decode_outdated(
    page: Page,
    inspections: Inspections,
    store: PhotoStore,
    plan: InspectionPlan,
    workers: WorkerPool,
    result: RescanResult,
) -> dict[int, InspectionResult]:
    """Inspect the images with missing or outdated measures concurrently; return the results by image id.

    After Ctrl-C no further image is begun.
    """
    tasks = {}
    slots = asyncio.Semaphore(workers.count + 1)  # one waits for the next process

    async def inspect_image(sha256: str, image_plan: InspectionPlan) -> InspectionResult | str | None:
        async with slots:
            return None if result.stopped else await _rescan_image(store, sha256, image_plan, workers)

    for image_id, sha256 in page:
        filters = tuple(item for item in plan.filters if _is_outdated(item, inspections[image_id]))
        if filters:
            tasks[image_id] = inspect_image(sha256, replace(plan, filters=filters))
    outcomes = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
    result.failed.update(outcome for outcome in outcomes.values() if isinstance(outcome, str))
    decoded = {image_id: outcome for image_id, outcome in outcomes.items() if isinstance(outcome, InspectionResult)}
    result.decoded += len(decoded)
    return decoded


def _is_outdated(item: Filter[Any], inspections: dict[str, Row[Any]]) -> bool:
    stored = inspections.get(item.name)
    return stored is None or stored.version != item.version or stored.verdict == "failed"


async def _rescan_image(
    store: PhotoStore, sha256: str, plan: InspectionPlan, workers: WorkerPool
) -> InspectionResult | str:
    """Return the result of an inspection, or the reason why it failed.

    Raises:
        StoreError: The store cannot be read.
    """
    try:
        result = await workers.run(inspect_stored, store, sha256, plan)
    except WorkerTimedOut as timeout:
        return f"inspection {timeout}"
    except WorkerCrashed as crash:
        return f"inspection failed: {crash}"
    except PhotographError as error:
        return f"store: {error.reason}"
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - the other photographs go on
        return f"internal error: {type(error).__name__}: {error}"
    return result.problem or result


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
    """Let Ctrl-C stop the loop after the current page."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        result.stopped = True

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
