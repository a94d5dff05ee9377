"""Harvest runs: start, resume and retry; the catalogue stores how each ended."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, insert, select, update

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.changes.removal import remove_unnamed
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for, open_engine, read, write
from lightmeter.harvest.catalogue.ingest import METADATA_ONLY
from lightmeter.harvest.catalogue.items import RunOptions
from lightmeter.harvest.catalogue.leases.runs import Lease, acquire, active_runs, running_message
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, SightingRecord, SightingState, UnreadableRecord
from lightmeter.harvest.crawl.crawler import CrawlPlan, run_crawl
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.reasons import UNREACHABLE_ROBOTS
from lightmeter.harvest.crawl.settings import rate_limiter
from lightmeter.harvest.crawl.sites.site_access import site_access, use_proxy
from lightmeter.harvest.crawl.spider import error_message
from lightmeter.harvest.sources.base import Source
from lightmeter.harvest.sources.registry import load_source
from lightmeter.project import Project
from lightmeter.settings import first_error

_BATCH = 500
_LISTED = (
    "source", "source_id", "media_url", "page_url", "file", "owner", "licence", "title", "published_at", "state",
    "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run: Id of the run; None for a retry, which covers several runs.
        repaired: Number of damaged files of the store that were replaced.
        counts: Number of photographs by the state that this process led to.
    """

    run: int | None
    state: RunState
    reason: str | None
    repaired: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def start_run(
    project: Project, source_name: str, query: dict[str, Any], options: RunOptions, *, download: bool = True
) -> RunResult:
    """Start a run of a source.

    Args:
        project: The project.
        source_name: Name of the source.
        query: Query of the source.
        options: Options of the run.
        download: Whether to download the photographs, and not leave them to workers.

    Raises:
        UsageError: The source is not installed, or the query is invalid.
    """
    return _execute(project, *_start(project, open_engine(project), source_name, query, options), download=download)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a run would do.

    Attributes:
        result: How the discovery ended.
        photographs: The listed photographs: source, id, addresses, owner, licence, date, and ``state`` and ``reason``
            of those that would not be downloaded; ``existing`` tells whether the catalogue has them.
        unreadable: What cannot be read at the source.
    """

    result: RunResult
    photographs: list[dict[str, Any]]
    unreadable: list[dict[str, Any]]


def simulate_run(project: Project, source_name: str, query: dict[str, Any], options: RunOptions) -> Simulation:
    """List what a run would download, without downloading it or changing the catalogue.

    The run records metadata in a temporary catalogue, so that all options and rules of a real one hold.

    Raises:
        UsageError: The source is not installed, or the query is invalid.
    """
    catalogue = open_engine(project)
    with TemporaryDirectory(prefix="lightmeter-") as folder:
        engine = engine_for(f"sqlite:///{folder}/catalogue.sqlite")
        upgrade(engine)
        started = _start(project, engine, source_name, query, replace(options, metadata_only=True))
        result = _execute(project, *started)
        listed = select(*(getattr(SightingRecord, name) for name in _LISTED)).order_by(SightingRecord.id)
        with engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(listed).mappings()]
            unreadable = connection.execute(select(UnreadableRecord.location, UnreadableRecord.reason)).all()
        engine.dispose()
    for start in range(0, len(rows), _BATCH):
        _mark_existing(catalogue, rows[start : start + _BATCH])
    return Simulation(result, rows, [row._asdict() for row in unreadable])


def _mark_existing(engine: Engine, rows: Sequence[dict[str, Any]]) -> None:
    """Tell which photographs the catalogue has, and which would be downloaded: those without a state."""
    table = SightingRecord
    ids = select(table.source, table.source_id).where(table.source_id.in_([row["source_id"] for row in rows]))
    existing = {tuple(row) for row in read(engine, lambda connection: connection.execute(ids).all())}
    for row in rows:
        row["existing"] = (row["source"], row["source_id"]) in existing
        if row["state"] == SightingState.SKIPPED and row["reason"] == METADATA_ONLY:
            row["state"] = row["reason"] = None


def _start(
    project: Project, engine: Engine, source_name: str, query: dict[str, Any], options: RunOptions
) -> tuple[Engine, int, Lease]:
    """Add a run to a catalogue."""
    source = _load_source(project, source_name)
    valid_query = _validate_query(source, query)
    source.site(valid_query)  # this and the next line raise for wrong use before the run is recorded
    site_access(project)
    row = {
        "source": source_name,
        "query": valid_query.model_dump(mode="json"),
        "options": asdict(options),
        "state": RunState.STOPPED,
        "existing": 0,
        "started_at": datetime.now(UTC),
    }

    def insert_run(connection: Connection) -> tuple[int, Lease]:
        run = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
        return run, acquire(connection, [run])

    return engine, *write(engine, insert_run)


def resume_run(project: Project, run: int | None) -> RunResult:
    """Resume a stopped, killed or failed run: first its pending items, then further discovery.

    Args:
        project: The project.
        run: Id of the run; None for the latest unfinished run.

    Raises:
        UsageError: There is no such run, or a running process works on it.
    """
    engine = open_engine(project)

    def select_run(connection: Connection) -> tuple[int, Lease]:
        condition = HarvestRun.state != RunState.FINISHED if run is None else HarvestRun.id == run
        runs = connection.scalars(select(HarvestRun.id).where(condition).order_by(HarvestRun.id.desc())).all()
        active = active_runs(connection, runs)
        selected = next((id_ for id_ in runs if id_ not in active), None)
        if selected is None:
            raise UsageError(_nothing_to_resume(run, active))
        return selected, acquire(connection, [selected])

    return _execute(project, engine, *write(engine, select_run))


def retry_failed(project: Project, reason: str | None) -> RunResult:
    """Retry failed sightings of all runs, except those that a running process works on.

    Those of sites whose robots.txt could not be read are retried, too.

    Args:
        project: The project.
        reason: Start of the reason of the failures to retry; None for all.

    Raises:
        UsageError: There is nothing to retry.
    """
    engine = open_engine(project)
    unreachable = (SightingRecord.state == SightingState.REFUSED) & SightingRecord.reason.startswith(UNREACHABLE_ROBOTS)
    failed = ((SightingRecord.state == SightingState.FAILED) | unreachable) & SightingRecord.media_url.is_not(None)
    if reason is not None:
        failed &= SightingRecord.reason.startswith(reason, autoescape=True)

    def select_runs(connection: Connection) -> Lease:
        runs = connection.scalars(select(SightingRecord.run_id).where(failed).distinct()).all()
        active = active_runs(connection, runs)
        if not runs:
            raise UsageError("No failed photographs to retry; list reasons with 'lightmeter harvest status'.")
        if len(active) == len(runs):
            raise UsageError(running_message(*next(iter(active.items()))))
        lease = acquire(connection, set(runs) - active.keys())
        retried = update(SightingRecord).where(failed, SightingRecord.run_id.in_(lease.states))
        connection.execute(retried.values(state=SightingState.FOUND, reason=None))
        return lease

    lease = write(engine, select_runs)
    with _released(engine, lease):
        plan = CrawlPlan(lease, tuple(lease.states), readers_of(project, engine, lease.states))
        result = run_crawl(project, engine, plan)
    return RunResult(None, result.state, result.reason, result.repaired, result.counts)


def _nothing_to_resume(run: int | None, active: Mapping[int, str]) -> str:
    if active:
        return running_message(*next(iter(active.items())))
    return "There is no unfinished run to resume." if run is None else f"There is no run {run}."


def _execute(project: Project, engine: Engine, run: int, lease: Lease, *, download: bool = True) -> RunResult:
    """Crawl for a run and record how it ended."""
    state: RunState = RunState.FAILED
    reason: str | None = None
    repaired = 0
    counts: Mapping[str, int] = {}
    try:
        plan = _crawl_plan(project, engine, run, lease)
        result = run_crawl(project, engine, plan if download else replace(plan, runs=()))
        state, reason, repaired, counts = result.state, result.reason, result.repaired, result.counts
        remove_unnamed(engine, project, result.replaced)
    except KeyboardInterrupt:
        state, reason = RunState.STOPPED, "interrupted"
    except Exception as error:
        reason = error_message(error)
        raise
    finally:
        state, reason = _release(engine, lease, state, reason)
    return RunResult(run, state, reason, repaired, counts)


def _release(engine: Engine, lease: Lease, state: RunState, reason: str | None) -> tuple[RunState, str | None]:
    """Record how runs ended. If the catalogue is unreachable, they can be resumed once this process has ended."""
    try:
        return write(engine, lambda connection: lease.release(connection, state, reason))
    except CatalogueError as error:
        return RunState.FAILED, reason or error_message(error)


@contextmanager
def _released(engine: Engine, lease: Lease) -> Iterator[None]:
    """Give runs up after the block, in the states that they had before; see `_release` for errors."""
    try:
        yield
    finally:
        with suppress(CatalogueError):
            write(engine, lease.restore)


def _crawl_plan(project: Project, engine: Engine, run: int, lease: Lease) -> CrawlPlan:
    query = select(HarvestRun.__table__).where(HarvestRun.id == run)
    row = read(engine, lambda connection: connection.execute(query).one())
    source = _load_source(project, row.source)
    options = TypeAdapter(RunOptions).validate_python(row.options)
    limit = None if options.limit is None else options.limit - row.new
    return CrawlPlan(
        lease=lease,
        runs=(run,),
        readers={source.scheme: source.read} if source.scheme else {},
        run=run,
        source=source if limit is None or limit > 0 else None,
        query=_validate_query(source, row.query),
        options=options,
        cursor=row.cursor,
        limit=limit,
    )


def _load_source(project: Project, name: str) -> Source:
    use_proxy(project.settings.crawl)
    source = load_source(plugins.get("sources", name))(project.settings)
    if source.rate_limit is not None:
        source.rate_limiter = rate_limiter(project, source.rate_limit)
    return source


def _validate_query(source: Source, values: dict[str, Any]) -> Any:
    try:
        return source.Query(**values)
    except ValidationError as error:
        raise UsageError(f"Invalid query for source '{source.name}': {first_error(error)}") from error


def readers_of(project: Project, engine: Engine, runs: Collection[int] | None) -> Readers:
    """Return the functions that read the addresses of runs; None for all runs."""
    query = select(HarvestRun.source).distinct()
    if runs is not None:
        query = query.where(HarvestRun.id.in_(runs))
    names = read(engine, lambda connection: connection.scalars(query).all())
    sources = [_load_source(project, name) for name in names]
    return {source.scheme: source.read for source in sources if source.scheme}
