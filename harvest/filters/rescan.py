"""Looking again at photographs in the catalogue: what is missing or outdated is decoded, the rest judged anew."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, true, update

from lightmeter.harvest.catalogue.ingest import inspection_rows, region_rows
from lightmeter.harvest.catalogue.models import Image, Inspection, Region
from lightmeter.harvest.crawl.worker_pool import WorkerCrashed, WorkerPool
from lightmeter.harvest.filters import Filter, InspectionPlan, InspectionResult, inspect
from lightmeter.harvest.store import path_of

_PAGE = 200


@dataclass
class RescanResult:
    """What was done.

    Attributes:
        photographs: looked through.
        decoded: because a filter's measures were missing or of an older version.
        changed: verdicts that are others now.
        failed: could not be decoded again, or are not in the store.
        stopped: whether Ctrl-C came; what was done by then stays done.
    """

    photographs: int = 0
    decoded: int = 0
    changed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


def rescan(
    engine: Engine,
    store: Path,
    plan: InspectionPlan,
    workers: WorkerPool,
    *,
    where: ColumnElement[bool] | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> RescanResult:
    """Bring the findings of a plan's filters up to date, page by page.

    Args:
        engine: of the catalogue.
        store: the photo store's folder.
        plan: filters, with the settings to judge by.
        workers: where photographs are decoded.
        where: which images; None for all.
        advance: told the number of photographs done.
    """
    done = RescanResult()
    with _until_interrupted(done), asyncio.Runner() as runner:
        for page in _pages(engine, where):
            if done.stopped:
                break
            with engine.connect() as connection:
                stored = _stored(connection, [number for number, _ in page])
            looked = runner.run(_decode_outdated(page, stored, store, plan, workers, done))
            with engine.begin() as connection:
                _write(connection, looked)
                done.changed += _judge(connection, plan.filters, stored)
            done.photographs += len(page)
            advance(len(page))
    return done


def count(engine: Engine, where: ColumnElement[bool] | None = None) -> int:
    """Return how many photographs would be looked through."""
    query = select(func.count()).select_from(Image).where(Image.problem.is_(None), true() if where is None else where)
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


Page = Sequence[tuple[int, str]]
Stored = dict[int, dict[str, Any]]


def _pages(engine: Engine, where: ColumnElement[bool] | None) -> Iterator[Page]:
    """Yield (number, SHA-256) of sound images."""
    last = 0
    chosen = true() if where is None else where
    query = select(Image.id, Image.sha256).where(Image.problem.is_(None), chosen).order_by(Image.id).limit(_PAGE)
    while True:
        with engine.connect() as connection:
            page = [(int(number), str(sha256)) for number, sha256 in connection.execute(query.where(Image.id > last))]
        if not page:
            return
        yield page
        last = page[-1][0]


def _stored(connection: Connection, images: Collection[int]) -> Stored:
    """Return what is in the catalogue, by image and filter."""
    query = select(
        Inspection.id, Inspection.image_id, Inspection.filter, Inspection.version, Inspection.verdict,
        Inspection.reason, Inspection.measures,
    ).where(Inspection.image_id.in_(images))  # fmt: skip
    found: Stored = {number: {} for number in images}
    for row in connection.execute(query):
        found[row.image_id][row.filter] = row
    return found


async def _decode_outdated(
    page: Page, stored: Stored, store: Path, plan: InspectionPlan, workers: WorkerPool, done: RescanResult
) -> dict[int, InspectionResult]:
    """Decode the images that lack something, several at a time."""
    outdated = {number: _outdated(plan.filters, stored[number]) for number, _ in page}
    tasks = {
        number: _rescan_one(path_of(store, sha256), replace(plan, filters=outdated[number]), workers)
        for number, sha256 in page
        if outdated[number]
    }
    results = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
    done.failed.update(result for result in results.values() if isinstance(result, str))
    looked = {number: result for number, result in results.items() if isinstance(result, InspectionResult)}
    done.decoded += len(looked)
    return looked


def _outdated(filters: Collection[Filter[Any]], findings: dict[str, Any]) -> tuple[Filter[Any], ...]:
    return tuple(one for one in filters if one.name not in findings or findings[one.name].version != one.version)


async def _rescan_one(path: Path, plan: InspectionPlan, workers: WorkerPool) -> InspectionResult | str:
    """Return what is seen, or why nothing is."""
    try:
        inspected = await workers.run(partial(_inspect_file, path, plan))
    except WorkerCrashed as crash:
        return str(crash)
    except OSError as error:
        return f"store: {error.strerror}"
    return inspected.problem or inspected


def _inspect_file(path: Path, plan: InspectionPlan) -> InspectionResult:
    return inspect(path.read_bytes(), plan)


def _write(connection: Connection, looked: dict[int, InspectionResult]) -> None:
    """Put new findings in the place of old ones."""
    for number, inspected in looked.items():
        names = list(inspected.results)
        connection.execute(delete(Inspection).where(Inspection.image_id == number, Inspection.filter.in_(names)))
        connection.execute(delete(Region).where(Region.image_id == number, Region.origin.in_(names)))
    findings = [row for number, inspected in looked.items() for row in inspection_rows(number, inspected)]
    regions = [row for number, inspected in looked.items() for row in region_rows(number, inspected)]
    if findings:
        connection.execute(insert(Inspection), findings)
    if regions:
        connection.execute(insert(Region), regions)


def _judge(connection: Connection, filters: Collection[Filter[Any]], stored: Stored) -> int:
    """Judge stored measures that are up to date by the settings of the day; return how many verdicts changed."""
    changed = 0
    for findings in stored.values():
        for one in filters:
            old = findings.get(one.name)
            if old is None or old.version != one.version:
                continue
            said = one.judge(old.measures, one.settings)
            if (said.verdict, said.reason) != (old.verdict, old.reason):
                new = {"verdict": said.verdict, "reason": said.reason}
                connection.execute(update(Inspection).where(Inspection.id == old.id).values(new))
                changed += 1
    return changed


@contextmanager
def _until_interrupted(done: RescanResult) -> Iterator[None]:
    """Make Ctrl-C a wish to stop after the page in hand."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        done.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
