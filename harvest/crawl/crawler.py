"""Run one Scrapy crawl in this process, with a progress display."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from scrapy.crawler import AsyncCrawlerProcess
from sqlalchemy import Engine
from twisted.internet.task import LoopingCall

from lightmeter.harvest.catalogue.items import RunOptions, SourceContext
from lightmeter.harvest.catalogue.leases.runs import Lease
from lightmeter.harvest.catalogue.models import RunState, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.claims import Claims
from lightmeter.harvest.crawl.discovery import Discovery
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.metrics import serve_metrics
from lightmeter.harvest.crawl.photo_fetcher import LAST_DOWNLOADS_S
from lightmeter.harvest.crawl.scheduler import HostDownloader
from lightmeter.harvest.crawl.settings import log_to_file, scrapy_settings
from lightmeter.harvest.crawl.spider import HarvestSpider, InFlightLimit, error_message
from lightmeter.harvest.sources.base import Source
from lightmeter.harvest.sources.registry import provider_of
from lightmeter.harvest.workers.pool import WorkerPool
from lightmeter.project import Project
from lightmeter.terminal import console

_REFRESH_S = 0.25
_SHOWN_STATES = (SightingState.SKIPPED, SightingState.REFUSED, SightingState.GONE, SightingState.FAILED)


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """Input of one crawl.

    Attributes:
        lease: Lease of the runs; None to work for runs of other processes.
        runs: Ids of the runs whose pending photographs are downloaded; None for all.
        readers: Functions for the URL schemes of sources.
        run: Run of new sightings.
        source: Source to discover from; None to download pending photographs only.
        query: Query of the source.
        options: Options of the run.
        cursor: Checkpoint to resume the source from.
        limit: Maximum number of further new sightings.
        files: Whether photographs that only this machine can read are downloaded.
        wait: Whether to wait for new photographs when none is pending.
        metrics: Address and port for Prometheus; None for no metrics.
    """

    lease: Lease | None
    runs: Collection[int] | None
    readers: Readers
    run: int = 0
    source: Source | None = None
    query: Any = None
    options: RunOptions = field(default_factory=RunOptions)
    cursor: dict[str, Any] | None = None
    limit: int | None = None
    files: bool = True
    wait: bool = False
    metrics: tuple[str, int] | None = None

    def context(self, *, keep_all_tags: bool) -> SourceContext:
        """Return the properties of the source that decide how its items are stored."""
        if self.source is None:
            return SourceContext("", frozenset())
        own = {self.source.scheme} if self.source.scheme else set()
        schemes = self.source.schemes | own
        return SourceContext(self.source.site(self.query), schemes, keep_all_tags, provider_of(self.source))

    @property
    def total(self) -> int | None:
        """Expected number of photographs, if the source or the limit determines it."""
        total = None
        with suppress(Exception):  # a plugin's estimate, only for the progress bar
            total = self.source.total(self.query) if self.source else None
        return min((number for number in (total, self.limit) if isinstance(number, int)), default=None)


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """How a crawl ended.

    Attributes:
        state: Final state.
        reason: Why it did not finish.
        repaired: Number of damaged files of the store that were replaced.
        replaced: Ids of images that a sighting no longer names, because its file has changed.
        counts: Number of photographs by the state that this crawl led to.
    """

    state: RunState
    reason: str | None
    repaired: int
    replaced: frozenset[int]
    counts: Mapping[str, int]


class _CrawlerProcess(AsyncCrawlerProcess):
    """Scrapy's process, which does not wait for slow servers once it is stopped."""

    async def stop(self) -> None:
        """Stop; give up the pages that do not arrive soon."""
        for crawler in self.crawlers:
            if crawler.engine:
                downloader = cast("HostDownloader", crawler.engine.downloader)
                asyncio.get_running_loop().call_later(LAST_DOWNLOADS_S, downloader.give_up)
        await super().stop()


def run_crawl(project: Project, engine: Engine, plan: CrawlPlan) -> CrawlResult:
    """Crawl until everything is done, Ctrl-C, or a failure of the source, the catalogue or the store.

    It can be called once per process, because Twisted's reactor cannot restart.
    """
    settings = project.settings
    log_to_file(project)
    with project.store as store, ExitStack() as stack:
        context, salt = plan.context(keep_all_tags=settings.exif.keep_all), settings.project.salt
        lease_s = settings.crawl.lease_s
        writer = CatalogueWriter(engine, plan.lease, plan.run, context, plan.options, salt, lease_s)
        writer.publish, writer.discard = store.publish, store.discard
        stack.callback(writer.close)
        if plan.metrics is not None:
            serve_metrics(engine, writer, *plan.metrics)
        workers = stack.enter_context(WorkerPool.of_project(project))
        process = _CrawlerProcess(scrapy_settings(project, store, plan.readers))
        crawler = process.create_crawler(HarvestSpider)
        process.crawl(
            crawler,
            discovery=Discovery(writer, plan.source, plan.query, plan.cursor, plan.limit),
            claims=Claims(writer, plan.runs, files=plan.files, wait=plan.wait),
            writer=writer,
            workers=workers,
            in_flight=InFlightLimit(settings.crawl.concurrency + 2 * workers.count, writer.available.is_set),
            max_page_depth=settings.crawl.max_page_depth,
        )
        with _progress_display(writer, plan.total):
            process.start()
    state, reason = cast("HarvestSpider", crawler.spider).result
    if writer.error is not None:  # also if the last write failed
        state, reason = RunState.FAILED, error_message(writer.error)
    return CrawlResult(state, reason, writer.repaired, frozenset(writer.replaced), writer.counts)


@contextmanager
def _progress_display(writer: CatalogueWriter, total: int | None) -> Iterator[None]:
    """Show counts by state and photographs per second while the block runs, of the limit or else of those found."""
    columns = ("{task.fields[rate]:.0f}/s", "{task.fields[others]}")
    started = time.monotonic()
    with console.get_console().progress(*columns) as progress:
        task = progress.add_task("fetching", total=total, rate=0.0, others=_other_states(writer))

        def refresh() -> None:
            completed = sum(number for state, number in writer.counts.items() if state != SightingState.FOUND)
            rate = completed / (time.monotonic() - started)
            expected = total or writer.counts.total() or None
            progress.update(task, completed=completed, total=expected, rate=rate, others=_other_states(writer))

        LoopingCall(refresh).start(_REFRESH_S, now=False)
        yield


def _other_states(writer: CatalogueWriter) -> str:
    counts = writer.counts
    return " ".join(f"{counts[state]} {state}" for state in _SHOWN_STATES if counts[state])
