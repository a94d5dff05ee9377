"""Harvest runs: started, gone on with, tried again; the run's row says what became of each."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, RowMapping, exists, insert, select, update

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import HarvestRun, RunState, Sighting, SightingState
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.harvest.crawl.budgets import budget_file
from lightmeter.harvest.crawl.crawler import Crawl, run_crawl
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.items import FetchRequest, RunOptions
from lightmeter.harvest.sources import Source
from lightmeter.harvest.sources.rate_limit import RateLimiter
from lightmeter.project import Project
from lightmeter.settings import first_error

_PAGE = 500


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run: its number; None for a retry, which touches the sightings of many.
    """

    run: int | None
    state: RunState
    reason: str | None


def start_run(project: Project, source: str, query: dict[str, Any], options: RunOptions) -> RunResult:
    """Ask a source and fetch what it finds.

    Raises:
        UsageError: if there is no such source, or the query is wrong.
    """
    engine = open_engine(project)
    plugin = _source(project, source)
    asked = _query(plugin, query)
    plugin.site(asked)  # what is wrong with the query shows before there is a run
    row = {
        "source": source,
        "query": asked.model_dump(mode="json"),
        "options": asdict(options),
        "state": RunState.RUNNING,
        "known": 0,
        "started_at": datetime.now(UTC),
    }
    with engine.begin() as connection:
        number = connection.execute(insert(HarvestRun).values(row).returning(HarvestRun.id)).scalar_one()
    return _go(project, engine, number)


def resume_run(project: Project, number: int | None) -> RunResult:
    """Go on with a run that was stopped, killed or failed: first what it left waiting, then further discovery.

    Args:
        number: the run; None for the newest that did not finish.

    Raises:
        UsageError: if there is none.
    """
    engine = open_engine(project)
    query = select(HarvestRun.id).order_by(HarvestRun.id.desc()).limit(1)
    query = (
        query.where(HarvestRun.state != RunState.FINISHED) if number is None else query.where(HarvestRun.id == number)
    )
    with engine.connect() as connection:
        found = connection.execute(query).scalar()
    if found is None:
        raise UsageError(
            "There is no unfinished run to go on with." if number is None else f"There is no run {number}."
        )
    return _go(project, engine, found)


def retry_failed(project: Project, reason: str | None) -> RunResult:
    """Try failed sightings once more, whatever run found them.

    Until that is done their runs count as stopped, so that an interrupted retry can be resumed.

    Args:
        reason: only those whose reason begins so; None for all.

    Raises:
        UsageError: if there is nothing to try.
    """
    engine = open_engine(project)
    chosen = (Sighting.state == SightingState.FAILED) & Sighting.media_url.is_not(None)
    if reason is not None:
        chosen &= Sighting.reason.startswith(reason, autoescape=True)
    with engine.begin() as connection:
        runs = list(connection.execute(select(Sighting.run_id).where(chosen).distinct()).scalars())
        connection.execute(
            update(HarvestRun).where(HarvestRun.id.in_(runs)).values(state=RunState.STOPPED, reason="retry")
        )
        connection.execute(update(Sighting).where(chosen).values(state=SightingState.FOUND, reason=None))
    if not runs:
        raise UsageError("No failed sighting is there to be tried again; 'lightmeter harvest status' shows reasons.")
    crawl = Crawl(0, None, None, RunOptions(), None, _waiting(engine, runs), _readers(project, engine, runs))
    state, why = run_crawl(project, engine, crawl)
    with engine.begin() as connection:
        _finish_emptied(connection, runs)
    return RunResult(None, state, why)


def _go(project: Project, engine: Engine, number: int) -> RunResult:
    with engine.begin() as connection:
        row = connection.execute(select(HarvestRun.__table__).where(HarvestRun.id == number)).mappings().one()
        connection.execute(
            update(HarvestRun).where(HarvestRun.id == number).values(state=RunState.RUNNING, reason=None)
        )
    state: RunState = RunState.FAILED
    reason: str | None = None
    try:
        state, reason = run_crawl(project, engine, _crawl_of(project, engine, row))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        with engine.begin() as connection:
            ended = {"state": state, "reason": reason, "ended_at": datetime.now(UTC)}
            connection.execute(update(HarvestRun).where(HarvestRun.id == number).values(ended))
    return RunResult(number, state, reason)


def _crawl_of(project: Project, engine: Engine, row: RowMapping) -> Crawl:
    source = _source(project, row["source"])
    stored = row["options"]
    options = RunOptions(**{**stored, "require": tuple(stored["require"]), "licences": tuple(stored["licences"])})
    return Crawl(
        run=row["id"],
        source=source,
        query=_query(source, row["query"]),
        options=options,
        cursor=row["cursor"],
        left_over=_waiting(engine, [row["id"]]),
        readers={source.scheme: source.read} if source.scheme else {},
    )


def _source(project: Project, name: str) -> Source:
    kind: type[Source] = plugins.get("sources", name).load()
    source = kind(project.settings)
    if source.service is not None:
        source.budget = RateLimiter(budget_file(project), source.service)
    return source


def _query(source: Source, values: dict[str, Any]) -> Any:
    try:
        return source.Query(**values)
    except ValidationError as error:
        raise UsageError(f"The source '{source.name}': {first_error(error)}") from error


def _readers(project: Project, engine: Engine, runs: Sequence[int]) -> Readers:
    with engine.connect() as connection:
        names = connection.execute(select(HarvestRun.source).where(HarvestRun.id.in_(runs)).distinct()).scalars().all()
    sources = [_source(project, name) for name in names]
    return {source.scheme: source.read for source in sources if source.scheme}


def _waiting(engine: Engine, runs: Sequence[int]) -> Iterator[FetchRequest]:
    """Yield the jobs that runs have found and not finished, a page at a time."""
    last = 0
    while True:
        query = (
            select(Sighting.id, Sighting.media_url, HarvestRun.options)
            .join(HarvestRun, HarvestRun.id == Sighting.run_id)
            .where(Sighting.run_id.in_(runs), Sighting.state == SightingState.FOUND, Sighting.id > last)
            .order_by(Sighting.id)
            .limit(_PAGE)
        )
        with engine.connect() as connection:
            page = connection.execute(query).all()
        for number, url, options in page:
            yield FetchRequest(number, url, tuple(options["require"]))
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _finish_emptied(connection: Connection, runs: Sequence[int]) -> None:
    left = exists().where(Sighting.run_id == HarvestRun.id, Sighting.state == SightingState.FOUND)
    done = {"state": RunState.FINISHED, "reason": None}
    connection.execute(update(HarvestRun).where(HarvestRun.id.in_(runs), ~left).values(done))
