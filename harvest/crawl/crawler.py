"""One Scrapy crawl in this process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scrapy.crawler import AsyncCrawlerProcess
from sqlalchemy import Engine

from lightmeter.harvest.catalogue.models import RunState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter
from lightmeter.harvest.crawl.discovery import Discovery
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.items import FetchRequest, RunOptions, SourceContext
from lightmeter.harvest.crawl.progress import progress_display
from lightmeter.harvest.crawl.settings import log_to_file, scrapy_settings
from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.crawl.worker_pool import WorkerPool
from lightmeter.harvest.exif import Privacy
from lightmeter.harvest.sources import Source
from lightmeter.project import Project


@dataclass(frozen=True, slots=True)
class Crawl:
    """What one crawl does.

    Attributes:
        run: the run that new sightings belong to.
        source: what discovers; None if only jobs left over are done.
        query: what the source is asked.
        cursor: where its discovery goes on.
        left_over: jobs that earlier runs left waiting.
        readers: what reads the URLs of schemes that sources have of their own.
    """

    run: int
    source: Source | None
    query: Any
    options: RunOptions
    cursor: dict[str, Any] | None
    left_over: Iterator[FetchRequest]
    readers: Readers

    @property
    def origin(self) -> SourceContext:
        """Where its sightings come from."""
        if self.source is None:
            return SourceContext("", frozenset())
        own = {self.source.scheme} if self.source.scheme else set()
        return SourceContext(self.source.site(self.query), self.source.schemes | own)

    @property
    def total(self) -> int | None:
        """How many photographs there will be, if that is known."""
        known = self.source.total(self.query) if self.source else None
        limits = [number for number in (known, self.options.limit) if number is not None]
        return min(limits, default=None)


def run_crawl(project: Project, engine: Engine, crawl: Crawl) -> tuple[RunState, str | None]:
    """Crawl until there is nothing left, or until Ctrl-C; a process can do this once (Twisted's reactor).

    Returns:
        How it ended, and the reason if it did not finish.
    """
    settings = project.settings
    origin = replace(crawl.origin, privacy=Privacy.of(settings.privacy))
    recorder = CatalogueWriter(engine, crawl.run, origin, crawl.options, settings.project.salt)
    workers = WorkerPool(settings.inspect.workers, settings.inspect.timeout_s, project.logs / "workers.log")
    feed = Discovery(crawl.source, crawl.query, crawl.cursor, crawl.options.limit, recorder)
    log_to_file(project)
    process = AsyncCrawlerProcess(scrapy_settings(project, crawl.readers))
    crawler = process.create_crawler(HarvestSpider)
    process.crawl(
        crawler,
        source=crawl.source,
        query=crawl.query,
        recorder=recorder,
        workers=workers,
        feed=feed,
        left_over=crawl.left_over,
        room=settings.crawl.concurrency + 2 * workers.count,
    )
    try:
        with progress_display(recorder, crawl.total):
            process.start()
    finally:
        feed.stop()
        workers.close()
        recorder.close()
    spider = crawler.spider
    assert isinstance(spider, HarvestSpider)  # noqa: S101 - it is the one that was started
    return spider.ended
