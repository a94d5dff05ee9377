"""Private addresses: refused in URLs and as the result of DNS, so that no name can be redirected after the check."""

import ipaddress
import socket
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.resolver import CachingThreadedResolver
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_REASON = "private address: set private_addresses = true under [crawl] in lightmeter.toml to allow it"


class PrivateAddress(IgnoreRequest):
    """The request goes to an address that is not public."""

    def __init__(self) -> None:
        super().__init__(_REASON)


class PrivateAddressMiddleware:
    """Refuse URLs with a private or loopback address, also after redirects; `PublicResolver` checks host names."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PrivateAddressMiddleware":
        """Stay disabled if the settings allow private addresses."""
        if crawler.settings.getbool("LIGHTMETER_PRIVATE_ADDRESSES"):
            raise NotConfigured
        return cls()

    def process_request(self, request: Request) -> None:
        """Check the host of a request.

        Raises:
            PrivateAddress: The host is not public, or is a proxy that may be private.
        """
        parts = urlparse_cached(request)
        if parts.scheme not in {"http", "https"}:
            return
        host = (parts.hostname or "").lower().rstrip(".")
        if not _is_public_host(host):
            raise PrivateAddress


class PublicResolver(CachingThreadedResolver):
    """DNS resolver that finds no private address, except those of proxies, which the operator has named.

    Twisted reports an unknown host, whatever the reason; `private` remembers the hosts with a private address.

    Attributes:
        private: Hosts with a private address.
    """

    private: set[str]

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: ReactorBase) -> "PublicResolver":
        """Share the set of private hosts with the download handler, by the settings."""
        resolver = super().from_crawler(crawler, reactor)
        resolver.private = crawler.settings["LIGHTMETER_PRIVATE_HOSTS"]
        return resolver

    def getHostByName(self, name: str, timeout: Any = ()) -> "Deferred[str]":  # noqa: N802 - Twisted's name
        """Resolve a host name; fails with `DNSLookupError` for a private address."""
        address = cast("Any", super().getHostByName(name, timeout)).addErrback(self._explain, name)
        return cast("Deferred[str]", address.addCallback(self._check, name))

    def _check(self, address: str, name: str) -> str:
        if not is_public(address) and name.lower() not in proxy_hosts():
            self.private.add(name.lower())
            raise DNSLookupError(f"{name} has a private address")
        return address

    def _explain(self, failure: Failure, name: str) -> "Deferred[Failure]":
        """Remember a host that has no IPv4 address, the only kind that Twisted asks for, but a private one of IPv6."""

        def examine() -> Failure:
            with suppress(OSError, UnicodeError):
                addresses = socket.getaddrinfo(name, None, socket.AF_INET6, socket.SOCK_STREAM)
                if not all(is_public(str(address[0])) for *_, address in addresses):
                    self.private.add(name.lower())
            return failure

        return deferToThread(examine)


def is_public(address: str) -> bool:
    """Return whether an IP address is global and unicast, also the one inside an address of IPv6 transition.

    Raises:
        ValueError: It is not an IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not ip.is_reserved
    embedded = _embedded_ipv4(ip)
    return is_public(str(embedded)) if embedded else ip.is_global and ip in _GLOBAL_UNICAST


def _is_public_host(host: str) -> bool:
    """Return whether the host of a URL may be public; the address of a name is checked once it is known."""
    try:
        return is_public(host)
    except ValueError:
        pass
    try:
        return is_public(socket.inet_ntoa(socket.inet_aton(host)))  # 127.1, 0x7f000001, 2130706433
    except (OSError, ValueError):
        return host != "localhost" and not host.endswith(".localhost") and host not in proxy_hosts()


def proxy_hosts() -> set[str]:
    """Return the hosts of the proxies in the environment (``http_proxy``, ``https_proxy``)."""
    urls = (url if "//" in url else f"//{url}" for kind, url in getproxies().items() if kind != "no")
    hosts = set()
    for url in urls:
        try:
            hosts.add((urlsplit(url).hostname or "").lower())
        except ValueError:
            continue
    return hosts - {""}


def _embedded_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
