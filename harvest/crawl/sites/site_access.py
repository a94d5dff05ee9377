"""Access to private sites: headers and cookies by host, from the settings."""

import os
from collections.abc import Mapping
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import Any
from urllib.request import Request as UrlRequest

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.utils.httpobj import urlparse_cached

from lightmeter.credentials import check_private, resolve_secret
from lightmeter.errors import UsageError
from lightmeter.project import Project
from lightmeter.settings import CrawlSection, SiteSection

_ADDED = "lightmeter_site_headers"
"""Key in the metadata of requests with the names of the headers that were added for their host."""


class SiteAccess:
    """Headers and cookies of one host.

    Args:
        site: Settings of the host.
        project: Project, whose folder relative paths start from.

    Raises:
        UsageError: A variable or file of the settings is missing, unreadable or readable by others.
    """

    def __init__(self, site: SiteSection, project: Project) -> None:
        self._headers = {name: resolve_secret(value, project.root, name) for name, value in site.headers.items()}
        self._cookies = _read_cookies(project.root / site.cookies) if site.cookies else None

    def __deepcopy__(self, _: dict[int, Any]) -> "SiteAccess":
        return self  # Scrapy copies its settings, and locks of cookies cannot be copied

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers of a request, with the cookies that are valid for its URL."""
        if self._cookies is None:
            return self._headers
        request = UrlRequest(url)  # noqa: S310 - it is not sent
        self._cookies.add_cookie_header(request)
        cookies = request.get_header("Cookie")
        return self._headers | ({"Cookie": cookies} if cookies else {})


class SiteAccessMiddleware:
    """Add the headers of each request's host, and take those of another host out after a redirect."""

    def __init__(self, sites: Mapping[str, SiteAccess]) -> None:
        self._sites = sites

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "SiteAccessMiddleware":
        """Stay disabled without sites in the settings."""
        sites: Mapping[str, SiteAccess] = crawler.settings["LIGHTMETER_SITES"]
        if not sites:
            raise NotConfigured
        return cls(sites)

    def process_request(self, request: Request) -> None:
        """Set the headers of a request."""
        for name in request.meta.pop(_ADDED, ()):
            request.headers.pop(name, None)
        parts = urlparse_cached(request)
        site = self._sites.get(parts.netloc.lower()) or self._sites.get((parts.hostname or "").lower())
        if site is None:
            return
        added = {name: value for name, value in site.headers(request.url).items() if name not in request.headers}
        request.headers.update(added)
        request.meta[_ADDED] = list(added)


def site_access(project: Project) -> dict[str, SiteAccess]:
    """Return the access to each host of the settings."""
    return {host.lower(): SiteAccess(site, project) for host, site in project.settings.crawl.sites.items()}


def use_proxy(settings: CrawlSection) -> None:
    """Let the requests of this process pass through the proxy of the settings, those of API clients too.

    Scrapy, httpx and requests read the variables; ``no_proxy`` names the hosts that are reached directly.
    """
    if settings.proxy:
        for name in ("http_proxy", "https_proxy"):
            os.environ[name] = os.environ[name.upper()] = settings.proxy.get_secret_value()


def _read_cookies(file: Path) -> MozillaCookieJar:
    check_private(file)
    jar = MozillaCookieJar(file)
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, LoadError, ValueError) as error:
        raise UsageError(f"{file} is no cookie file in Netscape format, as browsers export it: {error}.") from error
    for cookie in jar:
        if cookie.expires == 0:  # as browsers export cookies of the session
            cookie.expires, cookie.discard = None, True
    return jar
