"""Keeping the fetching of photographs within the budgets of the services that they come from."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler

from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter
from lightmeter.project import Project


def budget_file(project: Project) -> Path:
    """Return the file that a project keeps the budgets of services in."""
    return project.state / "budgets.sqlite"


class RateLimitMiddleware:
    """Downloader middleware that makes a request wait until its service's budget allows it.

    Args:
        budgets: of services; a host that belongs to none of them is not held up.
    """

    def __init__(self, budgets: Sequence[tuple[RateLimit, RateLimiter]]) -> None:
        self._budgets = budgets

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RateLimitMiddleware":
        """Take the budgets that the run put into the settings."""
        return cls(crawler.settings["LIGHTMETER_BUDGETS"])

    async def process_request(self, request: Request) -> None:
        """Wait, if the request goes to a service with a budget."""
        host = urlsplit(request.url).hostname or ""
        for service, budget in self._budgets:
            if service.owns(host):
                await asyncio.sleep(budget.take())
