"""Harvest runs: start, resume and retry; the catalogue stores how each ended."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Engine, exists, insert, select, update

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.items import RequestItem, RunOptions
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingRecord, SightingState
from lightmeter.harvest.catalogue.session import open_engine, pages
from lightmeter.harvest.crawl.crawler import CrawlPlan, run_crawl
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.settings import rate_limiter
from lightmeter.harvest.sources.base import Source
from lightmeter.project import Project
from lightmeter.settings import first_error

_BATCH = 500


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run: Id of the run; None for a retry, which covers several runs.
    """

    run: int | None
    state: RunState
    reason: str | None


def start_run(project: Project, source_name: str, query: dict[str, Any], options: RunOptions) -> RunResult:
    """Start a run of a source.

    Raises:
        UsageError: The source is not installed, or the query is invalid.
    """
    engine = open_engine(project)
    source = _load_source(project, source_name)
    valid_query = _validate_query(source, query)
    source.site(valid_query)  # raises for an invalid query before the run is recorded
    row = {
        "source": source_name,
        "query": valid_query.model_dump(mode="json"),
        "options": asdict(options),
        "state": RunState.RUNNING,
        "existing": 0,
        "started_at": datetime.now(UTC),
    }
    with engine.begin() as connection:
        run = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
    return _execute(project, engine, run)


def resume_run(project: Project, run: int | None) -> RunResult:
    """Resume a stopped, killed or failed run: first its pending items, then further discovery.

    Args:
        project: The project.
        run: Id of the run; None for the latest unfinished run.

    Raises:
        UsageError: There is no such run.
    """
    engine = open_engine(project)
    condition = HarvestRun.state != RunState.FINISHED if run is None else HarvestRun.id == run
    query = select(HarvestRun.id).where(condition).order_by(HarvestRun.id.desc()).limit(1)
    with engine.connect() as connection:
        selected = connection.scalar(query)
    if selected is None:
        raise UsageError("There is no unfinished run to resume." if run is None else f"There is no run {run}.")
    return _execute(project, engine, selected)


def retry_failed(project: Project, reason: str | None) -> RunResult:
    """Retry failed sightings of all runs.

    Their runs count as stopped until the retry is complete, so that an interrupted retry can be resumed.

    Args:
        project: The project.
        reason: Start of the reason of the failures to retry; None for all.

    Raises:
        UsageError: There is nothing to retry.
    """
    engine = open_engine(project)
    failed = (SightingRecord.state == SightingState.FAILED) & SightingRecord.media_url.is_not(None)
    if reason is not None:
        failed &= SightingRecord.reason.startswith(reason, autoescape=True)
    with engine.begin() as connection:
        runs = list(connection.scalars(select(SightingRecord.run_id).where(failed).distinct()))
        stopped = {"state": RunState.STOPPED, "reason": "retry"}
        connection.execute(update(HarvestRun).where(HarvestRun.id.in_(runs)).values(stopped))
        connection.execute(update(SightingRecord).where(failed).values(state=SightingState.FOUND, reason=None))
    if not runs:
        raise UsageError("No failed photographs to retry; list reasons with 'lightmeter harvest status'.")
    plan = CrawlPlan(_pending_items(engine, runs), _readers(project, engine, runs))
    result = RunResult(None, *run_crawl(project, engine, plan))
    pending = exists().where(SightingRecord.run_id == HarvestRun.id, SightingRecord.state == SightingState.FOUND)
    _update_runs(engine, HarvestRun.id.in_(runs) & ~pending, state=RunState.FINISHED, reason=None)
    return result


def _execute(project: Project, engine: Engine, run: int) -> RunResult:
    """Crawl for a run and record how it ended."""
    _update_runs(engine, HarvestRun.id == run, state=RunState.RUNNING, reason=None)
    state: RunState = RunState.FAILED
    reason: str | None = None
    try:
        state, reason = run_crawl(project, engine, _crawl_plan(project, engine, run))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        _update_runs(engine, HarvestRun.id == run, state=state, reason=reason, ended_at=datetime.now(UTC))
    return RunResult(run, state, reason)


def _update_runs(engine: Engine, condition: ColumnElement[bool], **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(update(HarvestRun).where(condition).values(values))


def _crawl_plan(project: Project, engine: Engine, run: int) -> CrawlPlan:
    with engine.connect() as connection:
        row = connection.execute(select(HarvestRun.__table__).where(HarvestRun.id == run)).one()
    source = _load_source(project, row.source)
    return CrawlPlan(
        pending=_pending_items(engine, [run]),
        readers={source.scheme: source.read} if source.scheme else {},
        run=run,
        source=source,
        query=_validate_query(source, row.query),
        options=TypeAdapter(RunOptions).validate_python(row.options),
        cursor=row.cursor,
    )


def _load_source(project: Project, name: str) -> Source:
    source_class: type[Source] = plugins.get("sources", name).load()
    source = source_class(project.settings)
    if source.rate_limit is not None:
        source.rate_limiter = rate_limiter(project, source.rate_limit)
    return source


def _validate_query(source: Source, values: dict[str, Any]) -> Any:
    try:
        return source.Query(**values)
    except ValidationError as error:
        raise UsageError(f"Invalid query for source '{source.name}': {first_error(error)}") from error


def _readers(project: Project, engine: Engine, runs: Sequence[int]) -> Readers:
    with engine.connect() as connection:
        names = connection.scalars(select(HarvestRun.source).where(HarvestRun.id.in_(runs)).distinct()).all()
    sources = [_load_source(project, name) for name in names]
    return {source.scheme: source.read for source in sources if source.scheme}


def _pending_items(engine: Engine, runs: Sequence[int]) -> Iterator[RequestItem]:
    """Yield the request items that runs have not finished, in batches."""
    query = (
        select(SightingRecord.id, SightingRecord.media_url, HarvestRun.options)
        .join(HarvestRun, HarvestRun.id == SightingRecord.run_id)
        .where(SightingRecord.run_id.in_(runs), SightingRecord.state == SightingState.FOUND)
    )
    for rows in pages(engine, query, SightingRecord.id, _BATCH):
        for row in rows:
            yield RequestItem(row.id, row.media_url, tuple(row.options["require"]))
