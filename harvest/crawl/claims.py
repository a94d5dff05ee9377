"""Claims of a crawl: which hosts this worker may send requests to, and which photographs it downloads next."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from lightmeter.harvest.catalogue.items import RequestItem
from lightmeter.harvest.catalogue.leases.claims import MAX_BATCH, Claimed, ClaimRequest
from lightmeter.harvest.catalogue.leases.workers import WorkerExpired
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter

if TYPE_CHECKING:
    from lightmeter.harvest.crawl.spider import HarvestSpider

_POLL_S = 1.0  # while other workers have leased what is pending
_PAUSE_S = 0.05
_LONG_PAUSE_S = 1.0  # that is saved at once, in case this process is killed


class Claims:
    """Leases pending photographs in batches by host, and schedules them.

    Args:
        writer: Writes the leases to the catalogue.
        runs: Ids of the runs whose photographs are downloaded; None for all.
        files: Whether photographs without a host, which only this machine can read, are among them.
        wait: Whether to wait for new photographs when none is pending.

    Attributes:
        exhausted: Whether no photograph is pending.
    """

    def __init__(
        self, writer: CatalogueWriter, runs: Collection[int] | None, *, files: bool = True, wait: bool = False
    ) -> None:
        self.exhausted = False
        self._worker = ""  # which has leased what is in hand
        self._writer, self._runs, self._files, self._wait = writer, runs, files, wait
        self._in_hand: dict[str, int] = {}  # photographs by leased host
        self._hosts: dict[tuple[int, str | None], str] = {}  # of these photographs
        self._ready_at: dict[str, float] = {}
        self._offered: set[str] = set()  # hosts that the claim under way may release
        self._refused: set[str] = set()  # hosts that other workers have leased
        self._drained: set[str] = set()  # hosts without further photographs
        self._batch = MAX_BATCH
        self._changed = asyncio.Event()
        self._spider: HarvestSpider
        self._task: asyncio.Task[None] | None = None

    @property
    def leased(self) -> int:
        """Number of photographs in hand."""
        return len(self._hosts)

    def start(self, spider: "HarvestSpider") -> None:
        """Begin to claim photographs, which the spider schedules."""
        self._spider = spider
        self._writer.on_expired = self._expired_in_thread
        self._worker = self._writer.worker
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        """Claim no further photographs."""
        if self._task:
            self._task.cancel()

    def notify(self) -> None:
        """Claim again soon, because there are new photographs."""
        self.exhausted = False
        self._drained.clear()
        self._changed.set()

    def finish(self, item: RequestItem) -> None:
        """Count a photograph as in hand no longer."""
        host = self._hosts.pop((item.sighting_id, item.worker), None)
        if host is None:
            return
        self._in_hand[host] -= 1
        if not self._in_hand[host] or (2 * self._in_hand[host] <= self._batch and host not in self._drained):
            self._changed.set()

    def may_request(self, host: str) -> bool:
        """Return whether a request may be sent to a host; if it is not leased yet, it will be."""
        if host not in self._in_hand:
            if host not in self._refused:
                self._changed.set()
            return False
        ready = asyncio.get_running_loop().time() >= self._ready_at.get(host, 0.0)
        return ready and host not in self._offered and self._writer.is_valid

    def pauses(self) -> dict[str, float]:
        """Return the seconds until requests may be sent to the leased hosts, for the worker that leases them next."""
        now = asyncio.get_running_loop().time()
        pauses = {host: ready - now for host, ready in self._ready_at.items() if ready > now}
        for host, pause_s in self._spider.scheduler.pauses().items():
            pauses[host] = max(pause_s, pauses.get(host, 0.0))
        return pauses

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            worker = self._worker
            try:
                claimed = await asyncio.wrap_future(self._writer.claim(self._request(), worker))
            except WorkerExpired:
                continue
            except Exception as error:  # noqa: BLE001 - of the catalogue
                self._spider.fail(error)
                return
            if worker != self._worker:  # it has expired since
                continue
            self._apply(claimed)
            self._spider.scheduler.wake()
            await asyncio.sleep(_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _POLL_S)

    def _request(self) -> ClaimRequest:
        scheduler = self._spider.scheduler
        waiting = scheduler.waiting_hosts()
        busy = waiting | scheduler.active_hosts()
        pauses = self.pauses()
        idle = {host for host, number in self._in_hand.items() if host and not number and host not in busy}
        self._offered = idle
        return ClaimRequest(
            runs=self._runs,
            files=self._files,
            held=dict(self._in_hand),
            idle={host: pauses.get(host, 0.0) for host in idle},
            pauses={
                host: pause_s
                for host, pause_s in pauses.items()
                if pause_s > _LONG_PAUSE_S and host in self._in_hand and host not in idle
            },
            wanted=waiting - self._in_hand.keys(),
        )

    def _apply(self, claimed: Claimed) -> None:
        now = asyncio.get_running_loop().time()
        for host in claimed.released:
            self._in_hand.pop(host, None)
            self._ready_at.pop(host, None)
        for host, pause_s in claimed.hosts.items():
            self._in_hand.setdefault(host, 0)
            if pause_s:
                self._ready_at[host] = now + pause_s
                asyncio.get_running_loop().call_later(pause_s, self._spider.scheduler.wake)
        self._offered = set()
        self._refused = self._spider.scheduler.waiting_hosts() - self._in_hand.keys()
        self._batch = claimed.batch
        filled = {host for host, _ in claimed.items}
        self._drained |= {host for host, number in self._in_hand.items() if 2 * number <= self._batch} - filled
        for host, item in claimed.items:
            self._in_hand[host] = self._in_hand.get(host, 0) + 1
            self._hosts[item.sighting_id, item.worker] = host
            self._spider.schedule(item)
        self.exhausted = not claimed.pending and not self._wait

    def _expired_in_thread(self) -> None:
        from twisted.internet import reactor  # importing it installs it

        reactor.callFromThread(self._expire)

    def _expire(self) -> None:
        """Forget everything that was leased."""
        for leased in (self._in_hand, self._hosts, self._ready_at, self._offered, self._refused):
            leased.clear()
        self._worker = self._writer.worker
        self._spider.abandon_photos()
        self.notify()
