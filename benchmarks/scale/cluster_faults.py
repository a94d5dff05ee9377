"""What happens to a cluster while it works: workers are killed or stopped, and the database is restarted."""

import random
import signal
import time
from contextlib import suppress
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, func, select

from benchmarks.scale.cluster_processes import Cluster
from lightmeter.harvest.catalogue.database.session import read
from lightmeter.harvest.catalogue.models import SightingRecord, WorkerRecord
from tests.support import BackgroundCommand

METRICS = {f"lightmeter_harvest_{name}" for name in ("photographs", "leased", "lease_age_seconds", "pending")}
"""Metrics of a worker."""

_SCRAPED_EACH_S = 0.2


class Disturbance:
    """Kills a worker every few seconds, stops one past its lease, and restarts the database."""

    def __init__(self, cluster: Cluster, engine: Engine, server: Any) -> None:
        self._cluster, self._engine, self._server = cluster, engine, server
        self._random = random.Random(0)
        self._next = time.monotonic() + cluster.plan.every_s
        self._stopped: tuple[BackgroundCommand, float] | None = None
        self._scraped = 0.0
        self.counts = {"kills": 0, "stops": 0, "restarts": 0, "leased_when_lost": 0}
        self.killed_at: dict[str, float] = {}  # by the name of the worker
        self.metrics: dict[str, float] = {}  # largest value of each

    def step(self) -> None:
        """Do what is due."""
        time.sleep(0.1)
        now, plan = time.monotonic(), self._cluster.plan
        if now > self._scraped + _SCRAPED_EACH_S:
            self._scraped = now
            self._scrape()
        if self._stopped and now > self._stopped[1]:
            self._stopped[0].send_signal(signal.SIGCONT)
            self._stopped = None
        finished = self._finished()
        if self.counts["stops"] < plan.stops and finished > plan.photographs / 4:
            self._stop(now)
        if self._server is not None and not self.counts["restarts"] and finished > plan.photographs / 2:
            self._restart_database()
        if now > self._next and self.counts["kills"] != plan.kills:
            self._next = now + plan.every_s
            self._kill()

    @property
    def complete(self) -> bool:
        """Whether the planned kills have happened, and all metrics have been read."""
        return self._cluster.plan.kills in (None, self.counts["kills"]) and set(self.metrics) >= METRICS

    def _stop(self, now: float) -> None:
        """Stop a worker for longer than its lease."""
        worker = self._lose(signal.SIGSTOP)
        if worker is not None:
            self._stopped = worker, now + 1.5 * self._cluster.plan.lease_s
            self.counts["stops"] += 1

    def _restart_database(self) -> None:
        self._server.stop()
        time.sleep(1)
        self._server.start()
        self.counts["restarts"] += 1

    def _kill(self) -> None:
        """Kill a worker and start another one."""
        worker = self._lose(signal.SIGKILL)
        if worker is not None:
            self.counts["kills"] += 1
            self._cluster.end(worker)
            self._cluster.start_worker()

    def _lose(self, sent: signal.Signals) -> BackgroundCommand | None:
        """Send a signal to a worker that has leased photographs, and return it."""
        leases = self._leases()
        workers = [worker for worker in self._active() if worker.poll() is None and leases.get(worker.pid)]
        if not workers:
            return None
        worker = self._random.choice(workers)
        worker.send_signal(signal.SIGSTOP)  # so that it leases nothing between the count and the signal
        self.counts["leased_when_lost"] += self._leases().get(worker.pid, 0)
        if sent == signal.SIGKILL:
            self.killed_at[self._cluster.running[worker].name] = time.monotonic()
        worker.send_signal(sent)
        return worker

    def _active(self) -> list[BackgroundCommand]:
        """Return the workers that are not stopped."""
        return [worker for worker in self._cluster.running if not self._stopped or worker is not self._stopped[0]]

    def _scrape(self) -> None:
        """Read the metrics of a worker."""
        ports = [self._cluster.running[worker].port for worker in self._active()]
        with suppress(httpx.TransportError):  # it has not started yet, or has ended
            text = httpx.get(f"http://127.0.0.1:{self._random.choice(ports)}/metrics", timeout=2).text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self.metrics[family.name] = max(self.metrics.get(family.name, 0.0), round(sample.value, 1))

    def _leases(self) -> dict[int, int]:
        query = select(WorkerRecord.process, func.count()).join(
            SightingRecord, SightingRecord.worker == WorkerRecord.id
        )
        query = query.group_by(WorkerRecord.process)
        rows = read(self._engine, lambda connection: connection.execute(query).all())
        return {int(process.split("~")[1]): number for process, number in rows}

    def _finished(self) -> int:
        query = select(func.count()).where(SightingRecord.state != "found")
        return read(self._engine, lambda connection: connection.scalar(query)) or 0
