"""The pipeline: bytes become a photograph in the store and an outcome in the catalogue."""

from scrapy.crawler import Crawler

from harvest.catalogue.tables import SightingState
from harvest.crawl.intake import Intake, Taken
from harvest.crawl.job import Outcome
from harvest.crawl.spider import Fetched, HarvestSpider
from harvest.crawl.workers import WorkerCrashed


class Ingest:
    """Has the bytes taken in by a worker, and records the outcome, whatever it is."""

    def __init__(self, spider: HarvestSpider, intake: Intake) -> None:
        self._spider, self._intake = spider, intake

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "Ingest":
        """Take what the run put into the settings."""
        assert isinstance(crawler.spider, HarvestSpider)  # noqa: S101 - the engine runs no other
        return cls(crawler.spider, crawler.settings["LIGHTMETER_INTAKE"])

    async def process_item(self, item: Fetched) -> Fetched:
        """Record what became of the item; nothing raised here may lose it."""
        try:
            taken = await self._spider.workers.run(self._intake.take, item.data, item.job.required)
        except WorkerCrashed as crash:
            taken = Taken(SightingState.FAILED, f"inspection failed: {crash}")
        except OSError as error:
            taken = Taken(SightingState.FAILED, f"store: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the outcome
            taken = Taken(SightingState.FAILED, f"internal error: {type(error).__name__}: {error}")
        self._spider.settle(Outcome(item.job, taken.state, taken.reason, taken.photograph))
        return item
