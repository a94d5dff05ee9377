"""Downloader middlewares, called with requests and responses as Scrapy calls them."""

import asyncio
import gzip
import sys
import zlib
from types import SimpleNamespace
from typing import Any

import brotli
import pytest
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest, NotConfigured, StopDownload
from scrapy.http import Response
from scrapy.resolver import CachingThreadedResolver
from scrapy.settings import Settings
from twisted.internet.defer import succeed
from twisted.internet.error import DNSLookupError
from twisted.python.failure import Failure

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.addresses import PrivateAddress, PrivateAddressMiddleware, PublicResolver, is_public
from lightmeter.harvest.crawl.middlewares import (
    ContentCodingMiddleware,
    OptOutMiddleware,
    RetryAfterMiddleware,
    SiteRulesMiddleware,
)
from lightmeter.harvest.crawl.reasons import DownloadError
from lightmeter.harvest.crawl.sites.robots import RobotsRules
from lightmeter.harvest.crawl.sites.site_rules import SITE_FILE, SiteRules

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

URL = "https://example.org/1.jpg"
PHOTO = Request(URL, cb_kwargs={"item": RequestItem(1, URL)})


def crawler(scheduler: object = None, **settings: object) -> Any:
    """Return the part of a crawler that middlewares use."""
    signals = SimpleNamespace(connect=lambda *_: None)
    engine = SimpleNamespace(scheduler=scheduler)
    return SimpleNamespace(settings=Settings(settings), signals=signals, engine=engine, stats=None)


def response(status: int = 200, body: bytes = b"", **headers: str) -> Response:
    return Response(URL, status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def decode(middleware: ContentCodingMiddleware, request: Request, reply: Response) -> Response:
    return asyncio.run(middleware.process_response(request, reply))


class TestSiteRules:
    """Requests that a site does not allow."""

    def check(self, rules: SiteRules, request: Request = PHOTO) -> None:
        async def arrived() -> SiteRules:
            return rules

        scheduler = SimpleNamespace(site_rules=SimpleNamespace(get=lambda _: arrived()))
        asyncio.run(SiteRulesMiddleware.from_crawler(crawler(scheduler)).process_request(request))

    @pytest.mark.parametrize(
        ("rules", "error"),
        [
            (SiteRules(RobotsRules.parse(b"User-agent: *\nDisallow: /", 100)), IgnoreRequest("robots.txt")),
            (SiteRules(refusal="robots.txt unreachable: HTTP 503"), IgnoreRequest("unreachable: HTTP 503")),
            (SiteRules(error=CannotResolveHostError("example.org")), CannotResolveHostError("example.org")),
        ],
    )
    def test_disallowed_request_is_refused(self, rules: SiteRules, error: Exception) -> None:
        request = PHOTO.copy()
        with pytest.raises(type(error), match=str(error)):
            self.check(rules, request)
        assert request.meta["dont_retry"] is isinstance(error, CannotResolveHostError)

    @pytest.mark.parametrize("request_", [Request("file:///1.jpg"), Request(URL, meta={SITE_FILE: 1})])
    def test_files_and_site_files_are_not_checked(self, request_: Request) -> None:
        self.check(SiteRules(refusal="never"), request_)

    def test_allowed_request_passes(self) -> None:
        self.check(SiteRules())


class TestRetryAfter:
    """The pauses that busy hosts request."""

    @pytest.fixture
    def pauses(self) -> list[float]:
        return []

    @pytest.fixture
    def middleware(self, pauses: list[float]) -> RetryAfterMiddleware:
        scheduler = SimpleNamespace(hold=lambda _, pause_s: pauses.append(pause_s))
        return RetryAfterMiddleware.from_crawler(crawler(scheduler, LIGHTMETER_MAX_RETRY_AFTER_S=600))

    @pytest.mark.parametrize("status", [429, 503])
    def test_busy_host_is_held(self, middleware: RetryAfterMiddleware, pauses: list[float], status: int) -> None:
        request = Request(URL)
        middleware.process_response(request, response(status, Retry_After="30"))
        assert request.meta["max_retry_times"] == 10
        assert pauses == [30]

    @pytest.mark.parametrize(("retries", "pause"), [(0, 1), (1, 2), (3, 8)])
    def test_pause_doubles_without_header(
        self, middleware: RetryAfterMiddleware, pauses: list[float], retries: int, pause: int
    ) -> None:
        request = Request(URL, meta={"retry_times": retries})
        middleware.process_response(request, response(503))
        assert pauses == [pause]
        assert "max_retry_times" not in request.meta

    @pytest.mark.parametrize("value", ["86400", "inf", "1e9", "Fri, 31 Dec 2100 23:59:59 GMT"])
    def test_too_long_pause_is_not_retried(
        self, middleware: RetryAfterMiddleware, pauses: list[float], value: str
    ) -> None:
        request = Request(URL)
        middleware.process_response(request, response(429, Retry_After=value))
        assert request.meta["dont_retry"]
        assert pauses == []

    def test_successful_response_passes(self, middleware: RetryAfterMiddleware) -> None:
        reply = response(200, Retry_After="30")
        assert middleware.process_response(Request(URL), reply) is reply


def test_photo_that_opts_out_is_ignored_and_a_page_is_left_to_the_spider() -> None:
    opted_out = response(X_Robots_Tag="noai")
    with pytest.raises(IgnoreRequest, match="opt-out: X-Robots-Tag noai"):
        OptOutMiddleware().process_response(PHOTO, opted_out)
    assert OptOutMiddleware().process_response(Request(URL), opted_out) is opted_out
    assert OptOutMiddleware().process_response(PHOTO, response(X_Robots_Tag="otherbot: noai"))


class TestContentCoding:
    """Content codings, and the limits of pages and site files."""

    @pytest.fixture
    def middleware(self) -> ContentCodingMiddleware:
        settings = {"LIGHTMETER_MAX_PAGE_BYTES": 1000, "DOWNLOAD_MAXSIZE": 100_000, "DOWNLOAD_WARNSIZE": 0}
        return ContentCodingMiddleware.from_crawler(crawler(**settings))

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("identity", b"photo"),
            (" ", b"photo"),
            ("GZIP", gzip.compress(b"photo", mtime=0)),
            ("gzip, identity", gzip.compress(b"photo", mtime=0)),
            ("x-gzip", b"photo"),  # the bytes are not compressed
            ("deflate, gzip", gzip.compress(zlib.compress(b"photo"), mtime=0)),
            ("br", brotli.compress(b"photo")),
            ("zstd", zstd.compress(b"photo")),
        ],
    )
    def test_photo_is_decoded(self, middleware: ContentCodingMiddleware, coding: str, body: bytes) -> None:
        reply = decode(middleware, PHOTO, response(body=body, Content_Encoding=coding))
        assert (reply.body, "Content-Encoding" in reply.headers) == (b"photo", False)

    @pytest.mark.parametrize(
        ("coding", "compress"),
        [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstd.compress)],
    )
    def test_decoded_photo_and_page_are_limited(
        self, middleware: ContentCodingMiddleware, coding: str, compress: Any
    ) -> None:
        page = Request(URL)
        middleware.process_request(page)
        for request, limit in [(PHOTO, 100_000), (page, 1000)]:
            largest = response(body=compress(bytes(limit)), Content_Encoding=coding)
            assert len(decode(middleware, request, largest).body) == limit
            with pytest.raises(DownloadError, match="too many bytes"):
                decode(middleware, request, response(body=compress(bytes(limit + 1)), Content_Encoding=coding))

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("br", b"photo"),
            ("zstd", b"photo"),
            ("deflate", b"photo"),
            ("gzip", b"\x1f\x8bphoto"),
            ("br," * 9, b"photo"),
        ],
    )
    def test_damaged_coding_is_a_reason(self, middleware: ContentCodingMiddleware, coding: str, body: bytes) -> None:
        with pytest.raises(DownloadError, match="invalid content coding"):
            decode(middleware, PHOTO, response(body=body, Content_Encoding=coding))

    def test_page_is_limited_and_a_photo_has_its_own_limit(self, middleware: ContentCodingMiddleware) -> None:
        page = Request(URL)
        middleware.process_request(page)
        middleware.process_request(PHOTO)
        assert page.meta["download_maxsize"] == 1000
        assert "download_maxsize" not in PHOTO.meta

    @pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
    def test_only_the_start_of_a_site_file_is_decoded(self, middleware: ContentCodingMiddleware, compress: Any) -> None:
        request = Request(URL, meta={SITE_FILE: 100})
        middleware.process_request(request)
        assert request.meta["download_maxsize"] == 0
        coding = "gzip" if compress is gzip.compress else "deflate"
        packed = response(body=compress(b"a" * 10_000_000), Content_Encoding=coding)
        reply = decode(middleware, request, packed)
        assert reply.body == b"a" * 100
        assert "Content-Encoding" not in reply.headers
        assert request.meta["download_maxsize"] == 1000

    def test_long_site_file_is_cut_off(self, middleware: ContentCodingMiddleware) -> None:
        request = Request(URL, meta={SITE_FILE: 100})
        middleware.bytes_received(b"a" * 99, request)
        with pytest.raises(StopDownload) as stopped:
            middleware.bytes_received(b"a", request)
        assert not stopped.value.fail
        middleware.bytes_received(b"a" * 1000, PHOTO)


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "fec0::1",
]  # fmt: skip


class TestPrivateAddress:
    """Private and loopback addresses."""

    @pytest.mark.parametrize("address", PRIVATE)
    def test_private_address_is_refused(self, address: str) -> None:
        assert not is_public(address)
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(PrivateAddress, match="private_addresses = true"):
            PrivateAddressMiddleware().process_request(Request(f"HTTP://{host}/1.jpg"))

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LocalHost.",
            "a.localhost",
            "127.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "0",
            "127.0.0.1.",
            "proxy.example.org",
        ],
    )
    def test_private_host_is_refused(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        monkeypatch.setenv("https_proxy", "proxy.example.org:3128")
        with pytest.raises(PrivateAddress):
            PrivateAddressMiddleware().process_request(Request(f"http://{host}/1.jpg"))

    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
    def test_public_address_is_public(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("url", ["https://example.org/", "http://93.184.216.34/", "file:///tmp/1.jpg"])
    def test_public_host_and_other_schemes_pass(self, url: str) -> None:
        PrivateAddressMiddleware().process_request(Request(url))

    def test_middleware_is_disabled_by_setting(self) -> None:
        with pytest.raises(NotConfigured):
            PrivateAddressMiddleware.from_crawler(crawler(LIGHTMETER_PRIVATE_ADDRESSES=True))
        PrivateAddressMiddleware.from_crawler(crawler(LIGHTMETER_PRIVATE_ADDRESSES=False))

    @pytest.mark.parametrize(
        ("name", "address", "allowed"),
        [
            ("example.org", "93.184.216.34", True),
            ("example.org", "127.0.0.1", False),
            ("Inside.example.org", "10.0.0.1", False),
            ("proxy.example.org", "10.0.0.1", True),
        ],
    )
    def test_resolver_finds_public_addresses_and_proxies(
        self, monkeypatch: pytest.MonkeyPatch, name: str, address: str, allowed: bool
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://user:word@proxy.example.org:3128")
        monkeypatch.setattr(CachingThreadedResolver, "getHostByName", lambda *_: succeed(address))
        resolver = PublicResolver.__new__(PublicResolver)
        resolver.private = set()
        results: list[object] = []
        resolver.getHostByName(name).addBoth(results.append)
        (result,) = results
        assert result == address if allowed else isinstance(result, Failure) and result.check(DNSLookupError)
        assert resolver.private == (set() if allowed else {name.lower()})
