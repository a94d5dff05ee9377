"""The sites of a cluster of workers: a server on all loopback addresses, with a log."""

import asyncio
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from aiohttp import web

from lightmeter.testing import photograph

CONTACT = "@workers.example.org"
"""What follows the name of a worker in the contact address that it sends."""

_SIZE = (64, 64)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a photograph, as the server saw it."""

    host: str
    path: str
    worker: str
    began: float
    ended: float


@dataclass(slots=True)
class PhotoServer:
    """A server on all loopback addresses, with a log.

    Attributes:
        port: Its port.
        held: Path of a photograph that is answered after `release`, so that the work does not end before.
        log: Requests that have ended.
    """

    port: int = 0
    held: str = ""
    log: list[Asked] = field(default_factory=list)
    _template: bytes = b""
    _loop: asyncio.AbstractEventLoop | None = None
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self._template = photograph(1, size=_SIZE)
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(30)

    def release(self) -> None:
        """Answer the photograph that is held."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._released.set)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(self._application(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "0.0.0.0", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await asyncio.Event().wait()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/{number:\\d+}.jpg", self._respond)
        return application

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        agent = request.headers.get("User-Agent", "")
        worker = agent.partition(CONTACT)[0].rpartition("+")[2].rpartition(":")[2].strip()
        comment = request.match_info["number"].encode() + request.host.encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        body = self._template[:2] + segment + self._template[2:]
        try:
            await asyncio.sleep(0.005)
            if request.path == self.held:
                await self._released.wait()
            return web.Response(body=body, content_type="image/jpeg")
        finally:
            host = request.host.partition(":")[0]
            self.log.append(Asked(host, f"{host}{request.path}", worker, began, time.monotonic()))


def repetitions(log: list[Asked]) -> dict[str, int]:
    """Return the number of requests, and of those for a photograph that had been asked for before."""
    times = Counter(asked.path for asked in log)
    return {"requests": len(log), "fetched_again": sum(number - 1 for number in times.values())}


def overlaps(log: list[Asked], killed_at: Mapping[str, float]) -> Iterator[tuple[Asked, Asked]]:
    """Yield the pairs of requests that two workers sent to a host at a time.

    Args:
        log: Requests that the server has answered.
        killed_at: When workers were killed; the server may answer their last requests later.
    """
    by_host = defaultdict(list)
    for asked in log:
        killed = killed_at.get(asked.worker, math.inf)
        if asked.began < killed:
            by_host[asked.host].append(replace(asked, ended=min(asked.ended, killed)))
    for requests in by_host.values():
        last: dict[str, Asked] = {}
        for asked in sorted(requests, key=lambda asked: asked.began):
            for worker, other in last.items():
                if worker != asked.worker and other.ended > asked.began:
                    yield other, asked
            if asked.worker not in last or last[asked.worker].ended < asked.ended:
                last[asked.worker] = asked
