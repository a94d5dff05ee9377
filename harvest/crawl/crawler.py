"""Run one Scrapy crawl in this process, with a progress display."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from scrapy.crawler import AsyncCrawlerProcess
from sqlalchemy import Engine
from twisted.internet.task import LoopingCall

from lightmeter import console
from lightmeter.harvest.catalogue.items import RequestItem, RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.discovery import Discovery
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.settings import log_to_file, scrapy_settings
from lightmeter.harvest.crawl.spider import HarvestSpider, InFlightLimit
from lightmeter.harvest.crawl.worker_pool import WorkerPool
from lightmeter.harvest.sources.base import Source
from lightmeter.project import Project
from lightmeter.settings import PrivacySection

_REFRESH_S = 0.25
_SHOWN_STATES = (SightingState.SKIPPED, SightingState.REFUSED, SightingState.GONE, SightingState.FAILED)


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """Input of one crawl.

    Attributes:
        pending: Request items left by earlier runs.
        readers: Functions for the URL schemes of sources.
        run: Run of new sightings.
        source: Source to discover from; None to process pending items only.
        query: Query of the source.
        options: Options of the run.
        cursor: Checkpoint to resume the source from.
    """

    pending: Iterable[RequestItem]
    readers: Readers
    run: int = 0
    source: Source | None = None
    query: Any = None
    options: RunOptions = field(default_factory=RunOptions)
    cursor: dict[str, Any] | None = None

    def context(self, privacy: PrivacySection) -> SourceContext:
        """Return the properties of the source that decide how its items are stored."""
        if self.source is None:
            return SourceContext("", frozenset())
        own = {self.source.scheme} if self.source.scheme else set()
        return SourceContext(self.source.site(self.query), self.source.schemes | own, privacy)

    @property
    def total(self) -> int | None:
        """Expected number of photographs, if the source or the limit determines it."""
        total = self.source.total(self.query) if self.source else None
        return min((number for number in (total, self.options.limit) if number is not None), default=None)


def run_crawl(project: Project, engine: Engine, plan: CrawlPlan) -> tuple[RunState, str | None]:
    """Crawl until everything is done or Ctrl-C; once per process, because Twisted's reactor cannot restart.

    Returns:
        Final state, and the reason if the run did not finish.
    """
    settings = project.settings
    context = plan.context(settings.privacy)
    log_to_file(project)
    with (
        closing(CatalogueWriter(engine, plan.run, context, plan.options, settings.project.salt)) as writer,
        WorkerPool.of_project(project) as workers,
    ):
        process = AsyncCrawlerProcess(scrapy_settings(project, plan.readers))
        crawler = process.create_crawler(HarvestSpider)
        process.crawl(
            crawler,
            discovery=Discovery(writer, plan.pending, plan.source, plan.query, plan.cursor, plan.options.limit),
            writer=writer,
            workers=workers,
            in_flight=InFlightLimit(settings.crawl.concurrency + 2 * workers.count),
        )
        with _progress_display(writer, plan.total):
            process.start()
    return cast("HarvestSpider", crawler.spider).result


@contextmanager
def _progress_display(writer: CatalogueWriter, total: int | None) -> Iterator[None]:
    """Show counts by state and photographs per second while the block runs."""
    columns = (
        "{task.fields[found]} found",
        "{task.fields[rate]:.0f}/s",
        *(f"{{task.fields[{state}]}} {state}" for state in _SHOWN_STATES),
    )
    started = time.monotonic()
    with console.get_console().progress(*columns) as progress:
        task = progress.add_task("fetching", total=total, rate=0.0, **_progress_fields(writer))

        def refresh() -> None:
            completed = sum(number for state, number in writer.counts.items() if state != SightingState.FOUND)
            rate = completed / (time.monotonic() - started)
            progress.update(task, completed=completed, rate=rate, **_progress_fields(writer))

        LoopingCall(refresh).start(_REFRESH_S, now=False)
        yield


def _progress_fields(writer: CatalogueWriter) -> dict[str, Any]:
    return {"found": sum(writer.counts.values()), **{state: writer.counts[state] for state in _SHOWN_STATES}}
