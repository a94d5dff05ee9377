"""Scrapy item pipeline: inspects photographs, stores them and records the outcome."""

import logging
from typing import cast

from scrapy.crawler import Crawler

from lightmeter.harvest.catalogue.items import FetchOutcome
from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.spider import DownloadedPhoto, HarvestSpider
from lightmeter.harvest.ingest_task import IngestTask, NotAnImage, RequiredExifMissing
from lightmeter.harvest.store import StoreError
from lightmeter.harvest.workers.worker import WorkerCrashed, WorkerTimedOut

logger = logging.getLogger(__name__)


class IngestPipeline:
    """Runs the ingest task for each photograph in a worker process and records the outcome."""

    def __init__(self, spider: HarvestSpider, task: IngestTask) -> None:
        self._spider, self._task = spider, task

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "IngestPipeline":
        """Read the ingest task from the settings."""
        return cls(cast("HarvestSpider", crawler.spider), crawler.settings["LIGHTMETER_INGEST_TASK"])

    async def process_item(self, item: DownloadedPhoto) -> DownloadedPhoto:
        """Record the outcome of an item, unless it cannot be stored, which ends the crawl."""
        try:
            photo = await self._spider.workers.run(self._task.run, item.data, item.item.required)
            problem = photo.inspected.problem
            state = SightingState.FAILED if problem else SightingState.FETCHED
            outcome = FetchOutcome(item.item, state, problem, photo)
        except NotAnImage as error:
            outcome = FetchOutcome(item.item, SightingState.FAILED, str(error))
        except RequiredExifMissing as error:
            outcome = FetchOutcome(item.item, SightingState.SKIPPED, str(error))
        except WorkerTimedOut as timeout:
            outcome = FetchOutcome(item.item, SightingState.FAILED, f"inspection {timeout}")
        except WorkerCrashed as crash:
            outcome = FetchOutcome(item.item, SightingState.FAILED, f"inspection failed: {crash}")
        except StoreError as error:
            self._spider.in_flight.release(item.item)
            self._spider.fail(error)
            return item
        except Exception:
            logger.exception("unexpected error of an inspection")
            outcome = FetchOutcome(item.item, SightingState.FAILED, "inspection failed: unexpected error")
        self._spider.finish(outcome)
        return item
