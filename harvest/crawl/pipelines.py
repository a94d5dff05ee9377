"""Scrapy item pipeline: inspects photographs, stores them and records the outcome."""

import hashlib
from dataclasses import dataclass
from typing import cast

from scrapy.crawler import Crawler

from lightmeter.harvest.catalogue.items import FetchOutcome, IngestedPhoto
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.items import DownloadedPhoto
from lightmeter.harvest.crawl.spider import HarvestSpider
from lightmeter.harvest.crawl.worker_pool import WorkerCrashed
from lightmeter.harvest.filters import InspectionPlan, inspect
from lightmeter.harvest.store import PhotoStore


@dataclass(frozen=True, slots=True)
class IngestResult:
    """State, reason and, if it was stored, the photograph."""

    state: SightingState
    reason: str | None = None
    photo: IngestedPhoto | None = None


@dataclass(frozen=True, slots=True)
class IngestTask:
    """Inspects and stores photographs in a worker process, so that the crawler neither hashes nor writes files."""

    store: PhotoStore
    plan: InspectionPlan

    def run(self, data: bytes, required: tuple[str, ...]) -> IngestResult:
        """Inspect a photograph and store it.

        Args:
            data: Bytes as downloaded.
            required: EXIF columns that the file must have.

        Raises:
            OSError: The store is not writable.
        """
        inspected = inspect(data, self.plan)
        if not inspected.format:
            return IngestResult(SightingState.FAILED, inspected.problem)
        missing = [name for name in required if getattr(inspected.exif.values, name) is None]
        if missing:
            return IngestResult(SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}")
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put(sha256, data)
        state = SightingState.FAILED if inspected.problem else SightingState.FETCHED
        return IngestResult(state, inspected.problem, IngestedPhoto(sha256, len(data), inspected))


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
            result = await self._spider.workers.run(self._task.run, item.data, item.item.required)
        except WorkerCrashed as crash:
            result = IngestResult(SightingState.FAILED, f"inspection failed: {crash}")
        except OSError as error:
            result = IngestResult(SightingState.FAILED, f"store: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            result = IngestResult(SightingState.FAILED, f"internal error: {type(error).__name__}: {error}")
        self._spider.finish(FetchOutcome(item.item, result.state, result.reason, result.photo))
        return item
