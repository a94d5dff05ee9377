"""The pipeline: bytes become a photograph in the store and an outcome in the catalogue."""

from scrapy.crawler import Crawler

from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.intake import IngestResult, IngestTask
from lightmeter.harvest.crawl.items import FetchOutcome
from lightmeter.harvest.crawl.spider import FetchedItem, HarvestSpider
from lightmeter.harvest.crawl.worker_pool import WorkerCrashed


class IngestPipeline:
    """Has the bytes taken in by a worker, and records the outcome, whatever it is."""

    def __init__(self, spider: HarvestSpider, intake: IngestTask) -> None:
        self._spider, self._intake = spider, intake

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "IngestPipeline":
        """Take what the run put into the settings."""
        assert isinstance(crawler.spider, HarvestSpider)  # noqa: S101 - the engine runs no other
        return cls(crawler.spider, crawler.settings["LIGHTMETER_INTAKE"])

    async def process_item(self, item: FetchedItem) -> FetchedItem:
        """Record what became of the item; nothing raised here may lose it."""
        try:
            taken = await self._spider.workers.run(self._intake.take, item.data, item.job.required)
        except WorkerCrashed as crash:
            taken = IngestResult(SightingState.FAILED, f"inspection failed: {crash}")
        except OSError as error:
            taken = IngestResult(SightingState.FAILED, f"store: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the outcome
            taken = IngestResult(SightingState.FAILED, f"internal error: {type(error).__name__}: {error}")
        self._spider.settle(FetchOutcome(item.job, taken.state, taken.reason, taken.photograph))
        return item
