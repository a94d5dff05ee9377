"""The fetcher of photographs: nothing is sent for a photograph whose lease may have expired."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request
from scrapy.http import Response

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.crawl.photo_fetcher import PhotoFetcher
from lightmeter.harvest.crawl.spider import HarvestSpider

ITEM = RequestItem(1, "https://example.org/1.jpg", worker="this worker")


@pytest.mark.parametrize(
    ("valid", "worker", "sent", "waiting"),
    [(True, "this worker", 1, 0), (False, "this worker", 0, 1), (True, "the next one", 0, 0)],
    ids=["leased", "not renewed yet", "expired"],
)
def test_request_is_sent_while_its_lease_is_valid(valid: bool, worker: str, sent: int, waiting: int) -> None:
    """A process can be stopped between the choice of a request and its sending, and continue after its lease."""
    requests: list[Request] = []
    queue: list[Request] = []
    released: list[RequestItem] = []
    outcomes: list[Any] = []

    async def through_middlewares(send: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        return await send(request)

    async def answer(request: Request) -> Response:
        requests.append(request)
        return Response(request.url, status=404)

    writer: Any = SimpleNamespace(
        is_valid=valid, holds=lambda item: item.worker == worker, save_outcome=outcomes.append, counts={}
    )
    in_flight: Any = SimpleNamespace(release=released.append)
    claims: Any = SimpleNamespace(finish=lambda _: None, pauses=dict)
    spider = HarvestSpider(None, claims, writer, None, in_flight, 3)  # type: ignore[arg-type]
    downloader = SimpleNamespace(
        middleware=SimpleNamespace(download_async=through_middlewares),
        handlers=SimpleNamespace(download_request_async=answer),
    )
    scheduler = SimpleNamespace(enqueue_request=queue.append)
    crawler: Any = SimpleNamespace(spider=spider, engine=SimpleNamespace(downloader=downloader, scheduler=scheduler))
    spider.crawler = crawler
    fetcher = PhotoFetcher(crawler, queue.append, lambda _: None, lambda: None)

    async def fetch() -> None:
        (request,) = spider.photo_requests([ITEM])
        fetcher.start(request)
        await fetcher.close()

    asyncio.run(fetch())
    assert (len(requests), len(queue)) == (sent, waiting)
    assert [outcome.state for outcome in outcomes] == ["gone"] * sent
    if not waiting:
        spider.closed("finished")  # nothing is left that could have been dropped
        assert (released, len(outcomes)) == ([ITEM], sent)
