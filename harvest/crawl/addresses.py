"""Keeping a crawl, which follows other people's links, away from private and loopback addresses."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred

ADVICE = "set private_addresses = true under [crawl] in lightmeter.toml to allow it"


class PrivateAddress(IgnoreRequest):
    """The request leads to an address that is not public."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public Internet's."""
    return ipaddress.ip_address(address).is_global


class PublicResolver(CachingThreadedResolver):
    """A resolver that knows public addresses alone, so that a name cannot be pointed inwards after it was checked."""

    def getHostByName(self, name: str, timeout: Any = ()) -> "Deferred[str]":  # noqa: N802 - Twisted's name
        """Resolve a name; fail with `PrivateAddress` if it leads inwards."""
        return super().getHostByName(name, timeout).addCallback(self._checked, name)

    def _checked(self, address: str, name: str) -> str:
        if not is_public(address):
            raise PrivateAddress(f"private address: {name}; {ADVICE}")
        return address


class PrivateAddressMiddleware:
    """Downloader middleware that refuses URLs which name a private address outright, also behind redirects."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PrivateAddressMiddleware":
        """Stay away where private addresses are allowed."""
        if crawler.settings.getbool("LIGHTMETER_PRIVATE_ADDRESSES"):
            raise NotConfigured
        return cls()

    def process_request(self, request: Request) -> None:
        """Look at the host of every request, redirected ones included."""
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https"}:
            return
        try:
            public = is_public(host)
        except ValueError:  # a name, which the resolver looks at
            public = host != "localhost" and not host.endswith(".localhost")
        if not public:
            raise PrivateAddress(f"private address: {host}; {ADVICE}")
