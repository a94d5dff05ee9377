"""Scrapy settings of a harvest run: polite, bounded, with a contact address, and silent on the terminal."""

import logging
from typing import Any

from scrapy.resolver import CachingThreadedResolver
from scrapy.settings import default_settings

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.leases.rate_limits import CatalogueRateLimiter
from lightmeter.harvest.crawl.addresses import PrivateAddressMiddleware, PublicResolver
from lightmeter.harvest.crawl.download_handlers import FileHandler, HttpHandler, Readers, SchemeHandler
from lightmeter.harvest.crawl.limits import MAX_REDIRECTS
from lightmeter.harvest.crawl.middlewares import (
    ContentCodingMiddleware,
    OptOutMiddleware,
    RetryAfterMiddleware,
    SiteRulesMiddleware,
)
from lightmeter.harvest.crawl.scheduler import HostDownloader, HostScheduler
from lightmeter.harvest.crawl.sites.site_access import SiteAccessMiddleware, site_access
from lightmeter.harvest.filters.pipeline import InspectionPlan
from lightmeter.harvest.ingest_task import IngestTask
from lightmeter.harvest.sources.base import user_agent
from lightmeter.harvest.sources.rate_limit import SERVICES, RateLimit, RateLimiter
from lightmeter.project import Project
from lightmeter.store.base import PhotoStore
from lightmeter.terminal import console

_MEBIBYTE = 1 << 20
_RETRIED_STATUS = [429, 500, 502, 503, 504, 522, 524, 408]
# Left out, not disabled: Scrapy imports what is disabled, too, which takes half a second.
_UNUSED_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.cookies.CookiesMiddleware",
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware",
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware",
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware",  # ContentCodingMiddleware replaces it
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware",
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware",  # SiteRulesMiddleware replaces it
    "scrapy.downloadermiddlewares.stats.DownloaderStats",
}


def scrapy_settings(project: Project, store: PhotoStore, readers: Readers) -> dict[str, Any]:
    """Return the Scrapy settings of a run.

    ``LIGHTMETER_*`` settings hold objects for the components: rate limiters, readers, the ingest task.

    Args:
        project: The project.
        store: Store of the photographs.
        readers: Functions for the URL schemes of sources.
    """
    crawl = project.settings.crawl
    return {
        "USER_AGENT": user_agent(crawl.contact),
        "ROBOTSTXT_OBEY": False,  # SiteRulesMiddleware does, from the first request on
        "COOKIES_ENABLED": False,
        "REFERRER_POLICY": "no-referrer",
        "HTTPERROR_ALLOW_ALL": True,  # every response becomes an outcome
        "URLLENGTH_LIMIT": 0,  # Scrapy drops longer URLs without a word; records are bounded by their cleaning
        "LOG_ENABLED": False,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "CONCURRENT_REQUESTS": crawl.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": crawl.per_host,
        "DOWNLOAD_DELAY": crawl.delay_s,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "DOWNLOAD_TIMEOUT": crawl.timeout_s,
        "DOWNLOAD_MAXSIZE": crawl.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": MAX_REDIRECTS,
        "RETRY_TIMES": crawl.attempts - 1,
        "RETRY_HTTP_CODES": _RETRIED_STATUS,
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": 64 * _MEBIBYTE,
        "SCHEDULER": HostScheduler,
        "DOWNLOADER": HostDownloader,
        "DOWNLOAD_HANDLERS": {
            **dict.fromkeys(("http", "https"), HttpHandler),
            **dict.fromkeys(("data", "ftp", "s3"), None),
            "file": FileHandler,
            **dict.fromkeys(readers, SchemeHandler),
        },
        "DOWNLOADER_MIDDLEWARES_BASE": {
            name: order
            for name, order in default_settings.DOWNLOADER_MIDDLEWARES_BASE.items()
            if name not in _UNUSED_MIDDLEWARES
        },
        "DOWNLOADER_MIDDLEWARES": {
            PrivateAddressMiddleware: 50,
            SiteAccessMiddleware: 60,
            SiteRulesMiddleware: 100,
            RetryAfterMiddleware: 555,  # after Scrapy's RetryMiddleware (550), which its notes are for
            OptOutMiddleware: 556,
            ContentCodingMiddleware: 590,
        },
        "EXTENSIONS_BASE": {},
        "TWISTED_DNS_RESOLVER": CachingThreadedResolver if crawl.private_addresses else PublicResolver,
        "LIGHTMETER_RATE_LIMITERS": [(limit, rate_limiter(project, limit)) for limit in SERVICES],
        "LIGHTMETER_MAX_RETRY_AFTER_S": crawl.max_retry_after_s,
        "LIGHTMETER_PRIVATE_ADDRESSES": crawl.private_addresses,
        "LIGHTMETER_PRIVATE_HOSTS": set(),
        "LIGHTMETER_MAX_PAGE_BYTES": crawl.max_page_bytes,
        "LIGHTMETER_MAX_PAGES": crawl.max_pages,
        "LIGHTMETER_MAX_ROBOTS_BYTES": crawl.max_robots_bytes,
        "LIGHTMETER_MAX_HEADER_BYTES": crawl.max_header_bytes,
        "LIGHTMETER_READERS": readers,
        "LIGHTMETER_SITES": site_access(project),
        "LIGHTMETER_INGEST_TASK": IngestTask(store, InspectionPlan.for_download(project.settings)),
    }


def rate_limiter(project: Project, limit: RateLimit) -> RateLimiter:
    """Return the limiter of a service, shared by all runs and workers of a project's catalogue."""
    return CatalogueRateLimiter(open_engine(project), limit)


def log_to_file(project: Project) -> None:
    """Send the log of Scrapy and the sources to a file of the project, and nothing to the terminal."""
    project.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(project.logs / "harvest.log", encoding="utf-8", delay=True)
    handler.setLevel(logging.DEBUG if console.get_console().debug else logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().handlers = [handler]
