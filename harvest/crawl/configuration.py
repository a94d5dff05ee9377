"""Scrapy, configured: polite, bounded, honest about who asks, and silent on the terminal."""

import logging
from typing import Any

from harvest.crawl.budgets import budget_file
from harvest.crawl.intake import Intake
from harvest.crawl.local import Readers
from harvest.inspect import Plan
from harvest.sources.service import SERVICES, Budget
from harvest.store import PhotoStore
from lightmeter import __version__, console
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
            "file": "harvest.crawl.local.FileHandler",
            **dict.fromkeys(readers, "harvest.crawl.local.SchemeHandler"),
        },
        "DOWNLOADER_MIDDLEWARES": {
            "harvest.crawl.addresses.PublicHosts": 50,
            "harvest.crawl.manners.Pauses": 555,  # behind retries (550): each try waits
            "harvest.crawl.manners.OptOuts": 556,
            "harvest.crawl.room.Door": 557,
            "harvest.crawl.budgets.Budgets": 560,  # each try costs one
        },
        "ITEM_PIPELINES": {"harvest.crawl.pipeline.Ingest": 500},
        "TWISTED_DNS_RESOLVER": own if crawl.private_addresses else "harvest.crawl.addresses.PublicResolver",
    }


def _objects(project: Project, readers: Readers) -> dict[str, Any]:
    settings = project.settings
    store = PhotoStore(project.store, project.state / "incoming")
    store.clear_aside()
    return {
        "LIGHTMETER_BUDGETS": [(service, Budget(budget_file(project), service)) for service in SERVICES],
        "LIGHTMETER_LONGEST_PAUSE_S": settings.crawl.longest_pause_s,
        "LIGHTMETER_PRIVATE_ADDRESSES": settings.crawl.private_addresses,
        "LIGHTMETER_READERS": readers,
        "LIGHTMETER_INTAKE": Intake(store, Plan.while_fetching(settings)),
    }


def user_agent(contact: str) -> str:
    """Return who asks, and whom to turn to."""
    return f"lightmeter/{__version__}" + (f" (+{contact})" if contact else "")


def log_to_file(project: Project) -> None:
    """Send what Scrapy and the sources log to a file of the project; nothing of it reaches the terminal."""
    project.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(project.logs / "harvest.log", encoding="utf-8", delay=True)
    handler.setLevel(logging.DEBUG if console.current().debug else logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().handlers = [handler]
