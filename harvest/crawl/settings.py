"""Scrapy, configured: polite, bounded, honest about who asks, and silent on the terminal."""

import logging
from typing import Any

from lightmeter import console
from lightmeter.harvest.crawl.budgets import budget_file
from lightmeter.harvest.crawl.download_handlers import Readers
from lightmeter.harvest.crawl.intake import IngestTask
from lightmeter.harvest.filters import InspectionPlan
from lightmeter.harvest.sources.base import user_agent
from lightmeter.harvest.sources.rate_limit import SERVICES, RateLimiter
from lightmeter.harvest.store import PhotoStore
from lightmeter.project import Project
from lightmeter.settings import CrawlSection

_MEBIBYTE = 1 << 20
_HTTP_TRY_AGAIN = [429, 500, 502, 503, 504, 522, 524, 408]


def scrapy_settings(project: Project, readers: Readers) -> dict[str, Any]:
    """Return Scrapy's settings for a run.

    Besides Scrapy's own there are ``LIGHTMETER_…`` objects, among them what takes photographs in, and what
    reads the URLs of sources' own schemes.
    """
    crawl = project.settings.crawl
    return {
        **_silence(),
        **_pace(crawl),
        **_limits(crawl),
        **_parts(crawl, readers),
        **_objects(project, readers),
        "USER_AGENT": user_agent(crawl.contact),
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": "lightmeter",
        "COOKIES_ENABLED": False,
        "REFERRER_POLICY": "no-referrer",
        "HTTPERROR_ALLOW_ALL": True,  # every answer is an outcome
    }


def _silence() -> dict[str, Any]:
    return {"LOG_ENABLED": False, "LOG_INSTALL_ROOT_HANDLER": False, "TELNETCONSOLE_ENABLED": False}


def _pace(crawl: CrawlSection) -> dict[str, Any]:
    return {
        "CONCURRENT_REQUESTS": crawl.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": crawl.per_host,
        "CONCURRENT_ITEMS": 1,  # a response gives one; Scrapy starts as many tasks for each response
        "DOWNLOAD_DELAY": crawl.delay_s,
        "DOWNLOAD_SLOTS": {"": {"concurrency": crawl.concurrency, "delay": 0.0}},  # files have no host
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": crawl.delay_s,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": crawl.per_host,
        "RETRY_TIMES": crawl.attempts - 1,
        "RETRY_HTTP_CODES": _HTTP_TRY_AGAIN,
    }


def _limits(crawl: CrawlSection) -> dict[str, Any]:
    return {
        "DOWNLOAD_TIMEOUT": crawl.timeout_s,
        "DOWNLOAD_MAXSIZE": crawl.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": 5,
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": 64 * _MEBIBYTE,
    }


def _parts(crawl: CrawlSection, readers: Readers) -> dict[str, Any]:
    own = "scrapy.resolver.CachingThreadedResolver"
    return {
        "DOWNLOAD_HANDLERS": {
            "file": "lightmeter.harvest.crawl.download_handlers.FileHandler",
            **dict.fromkeys(readers, "lightmeter.harvest.crawl.download_handlers.SchemeHandler"),
        },
        "DOWNLOADER_MIDDLEWARES": {
            "lightmeter.harvest.crawl.addresses.PrivateAddressMiddleware": 50,
            "lightmeter.harvest.crawl.middlewares.RetryAfterMiddleware": 555,  # behind retries (550): each try waits
            "lightmeter.harvest.crawl.middlewares.OptOutMiddleware": 556,
            "lightmeter.harvest.crawl.in_flight.BackpressureMiddleware": 557,
            "lightmeter.harvest.crawl.budgets.RateLimitMiddleware": 560,  # each try costs one
        },
        "ITEM_PIPELINES": {"lightmeter.harvest.crawl.pipelines.IngestPipeline": 500},
        "TWISTED_DNS_RESOLVER": own if crawl.private_addresses else "lightmeter.harvest.crawl.addresses.PublicResolver",
    }


def _objects(project: Project, readers: Readers) -> dict[str, Any]:
    settings = project.settings
    store = PhotoStore(project.store, project.state / "incoming")
    store.clear_aside()
    return {
        "LIGHTMETER_BUDGETS": [(service, RateLimiter(budget_file(project), service)) for service in SERVICES],
        "LIGHTMETER_MAX_RETRY_AFTER_S": settings.crawl.max_retry_after_s,
        "LIGHTMETER_PRIVATE_ADDRESSES": settings.crawl.private_addresses,
        "LIGHTMETER_READERS": readers,
        "LIGHTMETER_INTAKE": IngestTask(store, InspectionPlan.while_fetching(settings)),
    }


def log_to_file(project: Project) -> None:
    """Send what Scrapy and the sources log to a file of the project; nothing of it reaches the terminal."""
    project.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(project.logs / "harvest.log", encoding="utf-8", delay=True)
    handler.setLevel(logging.DEBUG if console.get_console().debug else logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().handlers = [handler]
