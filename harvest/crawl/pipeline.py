"""The pipeline: bytes become a photograph in the store and an outcome in the catalogue."""

import hashlib
from collections.abc import Callable

from scrapy.crawler import Crawler
from scrapy.utils.asyncio import run_in_thread

from harvest.catalogue.tables import SightingState
from harvest.crawl.job import Outcome, Photograph
from harvest.crawl.spider import Fetched, HarvestSpider
from harvest.crawl.workers import WorkerCrashed
from harvest.inspect import Inspected
from harvest.store import PhotoStore

Look = Callable[[bytes], Inspected]
"""What a worker does with a photograph's bytes; picklable."""


class Ingest:
    """Looks at the bytes in a worker, keeps them if they are an image, and records the outcome either way."""

    def __init__(self, spider: HarvestSpider, store: PhotoStore, look: Look) -> None:
        self._spider, self._store, self._look = spider, store, look

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "Ingest":
        """Take what the run put into the settings."""
        assert isinstance(crawler.spider, HarvestSpider)  # noqa: S101 - the engine runs no other
        return cls(crawler.spider, crawler.settings["LIGHTMETER_STORE"], crawler.settings["LIGHTMETER_LOOK"])

    async def process_item(self, item: Fetched) -> Fetched:
        """Record what became of the item; nothing raised here may lose it."""
        try:
            outcome = await self._outcome(item)
        except WorkerCrashed as crash:
            outcome = Outcome(item.job, SightingState.FAILED, f"inspection failed: {crash}")
        except OSError as error:
            outcome = Outcome(item.job, SightingState.FAILED, f"store: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the outcome
            outcome = Outcome(item.job, SightingState.FAILED, f"internal error: {type(error).__name__}: {error}")
        self._spider.settle(outcome)
        return item

    async def _outcome(self, item: Fetched) -> Outcome:
        inspected = await self._spider.workers.run(self._look, item.data)
        if not inspected.format:
            return Outcome(item.job, SightingState.FAILED, inspected.problem)
        missing = [name for name in item.job.required if getattr(inspected.exif.values, name) is None]
        if missing:
            return Outcome(item.job, SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}")
        photograph = await run_in_thread(self._keep, item.data, inspected)
        state = SightingState.FAILED if inspected.problem else SightingState.FETCHED
        return Outcome(item.job, state, inspected.problem, photograph)

    def _keep(self, data: bytes, inspected: Inspected) -> Photograph:
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.put(sha256, data)
        return Photograph(sha256, len(data), inspected)
