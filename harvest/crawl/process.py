"""One Scrapy crawl in this process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scrapy.crawler import AsyncCrawlerProcess
from sqlalchemy import Engine

from harvest.catalogue.tables import RunState
from harvest.crawl.configuration import log_to_file, scrapy_settings
from harvest.crawl.feed import Feed
from harvest.crawl.job import Job, Options, Origin
from harvest.crawl.local import Readers
from harvest.crawl.progress import showing
from harvest.crawl.recorder import Recorder
from harvest.crawl.spider import HarvestSpider
from harvest.crawl.workers import Workers
from harvest.exif import Privacy
from harvest.sources import Source
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
    options: Options
    cursor: dict[str, Any] | None
    left_over: Iterator[Job]
    readers: Readers

    @property
    def origin(self) -> Origin:
        """Where its sightings come from."""
        if self.source is None:
            return Origin("", frozenset())
        own = {self.source.scheme} if self.source.scheme else set()
        return Origin(self.source.site(self.query), self.source.schemes | own)

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
    recorder = Recorder(engine, crawl.run, origin, crawl.options, settings.project.salt)
    workers = Workers(settings.inspect.workers, settings.inspect.timeout_s, project.logs / "workers.log")
    feed = Feed(crawl.source, crawl.query, crawl.cursor, crawl.options.limit, recorder)
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
        with showing(recorder, crawl.total):
            process.start()
    finally:
        feed.stop()
        workers.close()
        recorder.close()
    spider = crawler.spider
    assert isinstance(spider, HarvestSpider)  # noqa: S101 - it is the one that was started
    return spider.ended
