"""Scrapy item pipeline: inspects photographs, stores them and records the outcome."""

import hashlib
from dataclasses import dataclass
from typing import cast

from scrapy.crawler import Crawler

from lightmeter.harvest.catalogue.items import FetchOutcome, IngestedPhoto, RequestItem
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.spider import DownloadedPhoto, HarvestSpider
from lightmeter.harvest.crawl.worker_pool import WorkerCrashed
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect
from lightmeter.harvest.store import PhotoStore


@dataclass(frozen=True, slots=True)
class IngestTask:
    """Inspects and stores photographs in a worker process, so that the crawler neither hashes nor writes files."""

    store: PhotoStore
    plan: InspectionPlan

    def run(self, item: RequestItem, data: bytes) -> FetchOutcome:
        """Inspect a photograph and store it.

        Args:
            item: The item, with the EXIF columns that the file must have.
            data: Bytes as downloaded.

        Raises:
            OSError: The store is not writable.
        """
        inspected = inspect(data, self.plan)
        if not inspected.format:
            return FetchOutcome(item, SightingState.FAILED, inspected.problem)
        missing = [name for name in item.required if getattr(inspected.exif.values, name) is None]
        if missing:
            return FetchOutcome(item, SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}")
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put(sha256, data)
        state = SightingState.FAILED if inspected.problem else SightingState.FETCHED
        return FetchOutcome(item, state, inspected.problem, IngestedPhoto(sha256, len(data), inspected))


class IngestPipeline:
    """Runs the ingest task for each photograph in a worker process and records the outcome."""

    def __init__(self, spider: HarvestSpider, task: IngestTask) -> None:
        self._spider, self._task = spider, task

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "IngestPipeline":
        """Read the ingest task from the settings."""
        return cls(cast("HarvestSpider", crawler.spider), crawler.settings["LIGHTMETER_INGEST_TASK"])

    async def process_item(self, item: DownloadedPhoto) -> DownloadedPhoto:
        """Record the outcome of an item, whatever happens."""
        try:
            outcome = await self._spider.workers.run(self._task.run, item.item, item.data)
        except WorkerCrashed as crash:
            outcome = FetchOutcome(item.item, SightingState.FAILED, f"inspection failed: {crash}")
        except OSError as error:
            outcome = FetchOutcome(item.item, SightingState.FAILED, f"store: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            outcome = FetchOutcome(item.item, SightingState.FAILED, f"internal error: {type(error).__name__}: {error}")
        self._spider.finish(outcome)
        return item
