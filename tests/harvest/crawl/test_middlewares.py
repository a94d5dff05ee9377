"""Downloader middlewares, called with requests and responses as Scrapy calls them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.http import Response
from scrapy.settings import Settings
from twisted.python.failure import Failure

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.middlewares import (
    BackpressureMiddleware,
    OptOutMiddleware,
    PrivateAddress,
    PrivateAddressMiddleware,
    PublicResolver,
    RateLimitMiddleware,
    RetryAfterMiddleware,
)
from lightmeter.harvest.crawl.spider import InFlightLimit
from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter

URL = "https://example.org/1.jpg"


def crawler(**settings: object) -> Any:
    """Return the part of a crawler that `from_crawler` reads."""
    return SimpleNamespace(settings=Settings(settings))


def response(status: int = 200, **headers: str) -> Response:
    return Response(URL, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that middlewares wait; nothing waits in the tests."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


class TestRetryAfter:
    """The pauses that busy hosts request."""

    @pytest.fixture
    def middleware(self) -> RetryAfterMiddleware:
        return RetryAfterMiddleware.from_crawler(crawler(LIGHTMETER_MAX_RETRY_AFTER_S=600))

    @pytest.mark.parametrize("status", [429, 503])
    def test_busy_host_delays_all_its_requests(
        self, middleware: RetryAfterMiddleware, pauses: list[float], status: int
    ) -> None:
        request = Request(URL)
        middleware.process_response(request, response(status, Retry_After="30"))
        assert request.meta["max_retry_times"] == 10
        asyncio.run(middleware.process_request(Request("https://example.org/2.jpg")))
        asyncio.run(middleware.process_request(Request("https://elsewhere.org/3.jpg")))
        assert pauses == [pytest.approx(30, abs=1), 0.0]

    @pytest.mark.parametrize(("retries", "pause"), [(0, 1), (1, 2), (3, 8)])
    def test_pause_doubles_without_header(
        self, middleware: RetryAfterMiddleware, pauses: list[float], retries: int, pause: int
    ) -> None:
        request = Request(URL, meta={"retry_times": retries})
        middleware.process_response(request, response(503))
        asyncio.run(middleware.process_request(request))
        assert pauses == [pytest.approx(pause, abs=0.5)]
        assert "max_retry_times" not in request.meta

    def test_too_long_pause_is_not_retried(self, middleware: RetryAfterMiddleware, pauses: list[float]) -> None:
        request = Request(URL)
        middleware.process_response(request, response(429, Retry_After="86400"))
        asyncio.run(middleware.process_request(request))
        assert request.meta["dont_retry"]
        assert pauses == [0.0]

    def test_successful_response_passes(self, middleware: RetryAfterMiddleware) -> None:
        reply = response(200, Retry_After="30")
        assert middleware.process_response(Request(URL), reply) is reply


class TestOptOut:
    """Headers that opt out of AI training."""

    @pytest.mark.parametrize(
        "headers",
        [{"X_Robots_Tag": "noindex, NoAI"}, {"X_Robots_Tag": "lightmeter: noimageai"}, {"TDM_Reservation": " 1"}],
    )
    def test_opt_out_is_ignored_with_reason(self, headers: dict[str, str]) -> None:
        with pytest.raises(IgnoreRequest, match="opt-out: "):
            OptOutMiddleware().process_response(Request(URL), response(**headers))

    @pytest.mark.parametrize("headers", [{}, {"X_Robots_Tag": "noindex"}, {"TDM_Reservation": "0"}])
    def test_other_headers_do_not_opt_out(self, headers: dict[str, str]) -> None:
        reply = response(**headers)
        assert OptOutMiddleware().process_response(Request(URL), reply) is reply


class TestPrivateAddress:
    """Private and loopback addresses."""

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "localhost", "a.localhost"]
    )
    def test_private_host_is_refused(self, host: str) -> None:
        with pytest.raises(PrivateAddress, match="private_addresses = true"):
            PrivateAddressMiddleware().process_request(Request(f"http://{host}/1.jpg"))

    @pytest.mark.parametrize("url", ["https://example.org/", "http://93.184.216.34/", "file:///tmp/1.jpg"])
    def test_public_host_and_other_schemes_pass(self, url: str) -> None:
        PrivateAddressMiddleware().process_request(Request(url))

    def test_middleware_is_disabled_by_setting(self) -> None:
        with pytest.raises(NotConfigured):
            PrivateAddressMiddleware.from_crawler(crawler(LIGHTMETER_PRIVATE_ADDRESSES=True))
        PrivateAddressMiddleware.from_crawler(crawler(LIGHTMETER_PRIVATE_ADDRESSES=False))

    @pytest.mark.parametrize(("address", "public"), [("93.184.216.34", True), ("127.0.0.1", False)])
    def test_resolver_refuses_private_addresses(
        self, monkeypatch: pytest.MonkeyPatch, address: str, public: bool
    ) -> None:
        from scrapy.resolver import CachingThreadedResolver
        from twisted.internet.defer import succeed

        monkeypatch.setattr(CachingThreadedResolver, "getHostByName", lambda *_: succeed(address))
        results: list[object] = []
        PublicResolver.__new__(PublicResolver).getHostByName("example.org").addBoth(results.append)
        (result,) = results
        assert result == address if public else isinstance(result, Failure) and result.check(PrivateAddress)


def test_rate_limit_delays_requests_of_its_service(tmp_path: Path, pauses: list[float]) -> None:
    limit = RateLimit("example", 3600, ("example.org",))
    limiter = RateLimiter(tmp_path / "rate-limits.sqlite", limit, clock=lambda: 1_000_000.0)
    for _ in range(360):  # the burst
        limiter.take()
    middleware = RateLimitMiddleware.from_crawler(crawler(LIGHTMETER_RATE_LIMITERS=[(limit, limiter)]))
    asyncio.run(middleware.process_request(Request("https://media.example.org/1.jpg")))
    asyncio.run(middleware.process_request(Request("https://elsewhere.org/1.jpg")))
    assert len(pauses) == 1
    assert pauses[0] > 0


class TestBackpressure:
    """The limit on photographs in flight."""

    def run(self, scenario: Callable[[BackpressureMiddleware, InFlightLimit], Any]) -> None:
        async def main() -> None:
            in_flight = InFlightLimit(1)
            spider = SimpleNamespace(in_flight=in_flight)
            await scenario(BackpressureMiddleware.from_crawler(SimpleNamespace(spider=spider)), in_flight)  # type: ignore[arg-type]

        asyncio.run(main())

    @staticmethod
    def request(number: int) -> Request:
        return Request(URL, cb_kwargs={"item": RequestItem(number, URL)})

    @staticmethod
    async def start_waiting(middleware: BackpressureMiddleware, request: Request) -> "asyncio.Task[None]":
        """Start a request that must wait; return its task."""
        task = asyncio.create_task(middleware.process_request(request))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        return task

    def test_request_waits_until_earlier_photo_is_finished(self) -> None:
        async def scenario(middleware: BackpressureMiddleware, in_flight: InFlightLimit) -> None:
            first = self.request(1)
            await middleware.process_request(first)
            middleware.process_response(first, response(200))
            task = await self.start_waiting(middleware, self.request(2))
            in_flight.release(RequestItem(1, URL))
            await asyncio.wait_for(task, 1)

        self.run(scenario)

    def test_failed_response_frees_slot_for_others(self) -> None:
        async def scenario(middleware: BackpressureMiddleware, _: InFlightLimit) -> None:
            first = self.request(1)
            await middleware.process_request(first)
            middleware.process_response(first, response(503))
            await asyncio.wait_for(middleware.process_request(self.request(2)), 1)
            await self.start_waiting(middleware, first)  # the retry needs a slot again

        self.run(scenario)

    def test_exception_frees_slot(self) -> None:
        async def scenario(middleware: BackpressureMiddleware, _: InFlightLimit) -> None:
            first = self.request(1)
            await middleware.process_request(first)
            middleware.process_exception(first, OSError())
            await asyncio.wait_for(middleware.process_request(self.request(2)), 1)

        self.run(scenario)

    def test_redirected_photo_keeps_its_slot(self) -> None:
        async def scenario(middleware: BackpressureMiddleware, _: InFlightLimit) -> None:
            await middleware.process_request(self.request(1))
            await asyncio.wait_for(middleware.process_request(self.request(1)), 1)

        self.run(scenario)

    def test_pages_are_not_limited(self) -> None:
        async def scenario(middleware: BackpressureMiddleware, _: InFlightLimit) -> None:
            await middleware.process_request(self.request(1))
            await asyncio.wait_for(middleware.process_request(Request(URL)), 1)

        self.run(scenario)
