"""Workers on one catalogue that are killed while they download: nothing may be lost, stored or asked for twice.

    python -m benchmarks.scale.cluster [--workers 8] [--photographs 20000] [--hosts 50] [--every 5]
        [--lease 10] [--sqlite] [--local]

A server on the loopback addresses 127.0.x.y has the photographs. ``harvest run urls --discover-only`` lists them, and
processes of ``harvest work`` download them into object storage. Every few seconds one of them is killed and another one
is started; one is stopped (SIGSTOP) for longer than its lease, and PostgreSQL is restarted once. The metrics of the
workers are read meanwhile. At the end catalogue, store and the log of the server are compared.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, func, select

from lightmeter.harvest.catalogue.database.session import engine_for, read
from lightmeter.harvest.catalogue.models import Image, SightingRecord, WorkerRecord
from lightmeter.store.base import SHARDS
from lightmeter.store.urls import StoreUrl
from lightmeter.testing import photograph
from tests.support import BackgroundCommand, CommandRunner

_CONTACT = "@workers.example.org"
_SIZE = (64, 64)
_SCRAPED_EACH_S = 0.2
_METRICS = {f"lightmeter_harvest_{name}" for name in ("photographs", "leased", "lease_age_seconds", "pending")}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--photographs", type=int, default=20_000)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--lease", type=float, default=10.0, help="[crawl] lease_s")
    parser.add_argument("--sqlite", action="store_true", help="a SQLite catalogue, which is not restarted")
    parser.add_argument("--local", action="store_true", help="a folder as photo store instead of object storage")
    parser.add_argument("--kills", type=int, default=1_000_000, help="maximum number of kills")
    options = parser.parse_args(arguments)
    plan = Plan(options.workers, options.photographs, options.hosts, options.every, options.lease, options.kills)
    server = None
    with tempfile.TemporaryDirectory() as folder, object_storage(empty=options.local) as variables:
        if not options.sqlite:
            from tests.postgresql import PostgresServer

            server = PostgresServer(f"lm-cluster-{os.getpid()}")
            variables["LIGHTMETER_CATALOGUE__URL"] = server.url.format(name="postgres")
        commands = CommandRunner("lightmeter.harvest.crawl.work", "lightmeter.harvest.crawl.metrics")
        try:
            report = run_cluster(Path(folder), plan, variables, commands, server)
        finally:
            commands.close()
            if server is not None:
                server.remove()
    print(json.dumps(report, indent=2))
    return 0 if not report["faults"] else 1


@contextmanager
def object_storage(*, empty: bool) -> Iterator[dict[str, str]]:
    """Run moto in a process of its own; yield the variables with which Lightmeter uses a bucket of it, or none."""
    if empty:
        yield {}
        return
    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **output)  # type: ignore[call-overload]
    try:
        for _ in range(600):
            with suppress(httpx.TransportError):
                httpx.put(f"{endpoint}/photographs").raise_for_status()
                break
            time.sleep(0.1)
        yield keys | {"AWS_ENDPOINT_URL": endpoint, "LIGHTMETER_STORE__URL": "s3://photographs/cluster"}
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Plan:
    """Size of a cluster, and how often a worker is killed.

    Attributes:
        every_s: Seconds between two kills.
        kills: Maximum number of kills.
        stops: Number of workers that are stopped past their lease.
    """

    workers: int
    photographs: int
    hosts: int
    every_s: float
    lease_s: float
    kills: int = 1_000_000
    stops: int = 1


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
        log: Requests that have ended.
    """

    port: int = 0
    log: list[Asked] = field(default_factory=list)
    _template: bytes = b""

    def start(self) -> None:
        self._template = photograph(1, size=_SIZE)
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(30)

    async def _serve(self, ready: threading.Event) -> None:
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
        worker = agent.partition(_CONTACT)[0].rpartition("+")[2].rpartition(":")[2].strip()
        comment = request.match_info["number"].encode() + request.host.encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        body = self._template[:2] + segment + self._template[2:]
        try:
            await asyncio.sleep(0.005)
            return web.Response(body=body, content_type="image/jpeg")
        finally:
            host = request.host.partition(":")[0]
            self.log.append(Asked(host, f"{host}{request.path}", worker, began, time.monotonic()))


class Cluster:
    """A project with workers.

    Args:
        home: Folder for the project.
        plan: Size of the cluster.
        variables: Variables that name catalogue and store; a SQLite catalogue and a folder without them.
        commands: Starts the processes.

    Attributes:
        running: Workers, each with the port of its metrics.
    """

    def __init__(self, home: Path, plan: Plan, variables: Mapping[str, str], commands: CommandRunner) -> None:
        self.plan, self.root, self._commands = plan, home / "project", commands
        self._environment = {
            "LIGHTMETER_CRAWL__LEASE_S": str(plan.lease_s),
            "LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true",
            "LIGHTMETER_INSPECT__WORKERS": "1",
            "LIGHTMETER_INSPECT__LATER": '["faces"]',
            **variables,
        }
        self.url = variables.get("LIGHTMETER_CATALOGUE__URL", f"sqlite:///{self.root / 'catalogue.sqlite'}")
        self.store = StoreUrl.parse(variables.get("LIGHTMETER_STORE__URL", "file:store")).open(self.root, home, 0)
        self.started = self._number = 0
        self.running: dict[BackgroundCommand, int] = {}
        self.ends: Counter[str] = Counter()

    def command(self, *arguments: str) -> None:
        """Run a command to its end."""
        process = self._start(*arguments)
        code, error = process.wait()
        if code:
            raise RuntimeError(error)

    def start_worker(self) -> None:
        self.started += 1
        contact = {"LIGHTMETER_CRAWL__CONTACT": f"w{self.started}{_CONTACT}"}
        port = free_port()
        self.running[self._start("harvest", "work", "--metrics-port", str(port), "--json", **contact)] = port

    def end(self, worker: BackgroundCommand) -> None:
        """Wait for a worker and count how it ended."""
        del self.running[worker]
        code, error = worker.wait()
        self.ends[{0: "finished", -signal.SIGKILL: "killed"}.get(code, error.strip()[-500:])] += 1

    def _start(self, *arguments: str, **variables: str) -> BackgroundCommand:
        self._number += 1
        error = self.root.parent / f"command-{self._number}.log"
        arguments = ("--project", str(self.root), *arguments)
        return self._commands.start(*arguments, env=self._environment | variables, error=error)


def run_cluster(
    home: Path, plan: Plan, variables: Mapping[str, str], commands: CommandRunner, server: Any = None
) -> dict[str, Any]:
    """Download photographs with workers that are killed; return counts and faults.

    Args:
        home: Folder for the project.
        plan: Size of the cluster.
        variables: Variables that name catalogue and store; those of object storage are also set in this process.
        commands: Starts the processes.
        server: PostgreSQL server, which is restarted; None for SQLite.
    """
    photographs = PhotoServer()
    photographs.start()
    os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
    cluster = Cluster(home, plan, variables, commands)
    cluster.command("init", str(cluster.root))
    urls = home / "urls.txt"
    hosts = [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(plan.hosts)]
    lines = [f"http://{hosts[n % plan.hosts]}:{photographs.port}/{n}.jpg\n" for n in range(plan.photographs)]
    urls.write_text("".join(lines))
    began = time.monotonic()
    cluster.command("harvest", "run", "urls", str(urls), "--discover-only")
    discovered_s = time.monotonic() - began
    engine = engine_for(cluster.url, retry_s=60)
    for _ in range(plan.workers):
        cluster.start_worker()
    began = time.monotonic()
    disturbance = _Disturbance(cluster, engine, server)
    while any(worker.poll() is None for worker in cluster.running):
        disturbance.step()
    seconds = time.monotonic() - began
    for worker in list(cluster.running):
        cluster.end(worker)
    report = {
        "photographs": plan.photographs,
        "hosts": plan.hosts,
        "workers": plan.workers,
        "started": cluster.started,
        "discovered_s": round(discovered_s, 1),
        "downloaded_s": round(seconds, 1),
        "ends": dict(cluster.ends),
        **disturbance.counts,
        "metrics": disturbance.metrics,
        **_repetitions(photographs.log),
    }
    report["faults"] = _faults(cluster, engine, photographs.log, report)
    engine.dispose()
    return report


class _Disturbance:
    """Kills a worker every few seconds, stops one past its lease, and restarts the database."""

    def __init__(self, cluster: Cluster, engine: Engine, server: Any) -> None:
        self._cluster, self._engine, self._server = cluster, engine, server
        self._random = random.Random(0)
        self._next = time.monotonic() + cluster.plan.every_s
        self._stopped: tuple[BackgroundCommand, float] | None = None
        self._scraped = 0.0
        self.counts = {"kills": 0, "stops": 0, "restarts": 0, "leased_when_lost": 0}
        self.metrics: dict[str, float] = {}  # largest value of each

    def step(self) -> None:
        time.sleep(0.1)
        now = time.monotonic()
        if now > self._scraped + _SCRAPED_EACH_S:
            self._scraped = now
            self._scrape()
        if self._stopped and now > self._stopped[1]:
            self._stopped[0].send_signal(signal.SIGCONT)
            self._stopped = None
        finished = self._finished()
        total = self._cluster.plan.photographs
        if self.counts["stops"] < self._cluster.plan.stops and finished > total / 4:
            worker = self._victim()
            if worker is not None:
                self._count_leases(worker)
                worker.send_signal(signal.SIGSTOP)
                self._stopped = worker, now + 1.5 * self._cluster.plan.lease_s
                self.counts["stops"] += 1
        if self._server is not None and not self.counts["restarts"] and finished > total / 2:
            self._server.stop()
            time.sleep(1)
            self._server.start()
            self.counts["restarts"] += 1
        if now > self._next and self.counts["kills"] < self._cluster.plan.kills:
            self._next = now + self._cluster.plan.every_s
            self._kill()

    def _scrape(self) -> None:
        """Read the metrics of a worker."""
        stopped = self._stopped[0] if self._stopped else None
        ports = [port for worker, port in self._cluster.running.items() if worker is not stopped]
        with suppress(httpx.TransportError):  # it has not started yet, or has ended
            text = httpx.get(f"http://127.0.0.1:{self._random.choice(ports)}/metrics", timeout=2).text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self.metrics[family.name] = max(self.metrics.get(family.name, 0.0), round(sample.value, 1))

    def _kill(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        self._count_leases(worker)
        worker.send_signal(signal.SIGKILL)
        self.counts["kills"] += 1
        self._cluster.end(worker)
        self._cluster.start_worker()

    def _victim(self) -> BackgroundCommand | None:
        """Return a worker that has leased photographs."""
        leases = self._leases()
        stopped = self._stopped[0] if self._stopped else None
        workers = [w for w in self._cluster.running if w is not stopped and w.poll() is None and leases.get(w.pid)]
        return self._random.choice(workers) if workers else None

    def _count_leases(self, worker: BackgroundCommand) -> None:
        self.counts["leased_when_lost"] += self._leases().get(worker.pid, 0)

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


def _repetitions(log: list[Asked]) -> dict[str, int]:
    times = Counter(asked.path for asked in log)
    return {"requests": len(log), "fetched_again": sum(number - 1 for number in times.values())}


def _faults(cluster: Cluster, engine: Engine, log: list[Asked], report: dict[str, Any]) -> list[str]:
    """Return what is wrong with catalogue, store and log."""
    with engine.connect() as connection:
        states = dict(
            connection.execute(select(SightingRecord.state, func.count()).group_by(SightingRecord.state)).all()
        )
        leases = connection.scalar(select(func.count()).where(SightingRecord.worker.is_not(None)))
        hashes = set(connection.scalars(select(Image.sha256)))
    stored = [file.sha256 for shard in SHARDS for file in cluster.store.files(shard)]
    overlaps = list(_overlaps(log))
    total = cluster.plan.photographs
    checks = {
        f"sightings by state: {states}": states == {"fetched": total},
        f"{len(hashes)} images": len(hashes) == total,
        f"{len(stored)} files in the store": set(stored) == hashes and len(stored) == total,
        "files of the store are damaged": not any(cluster.store.map(cluster.store.fault, stored)),
        f"hosts asked by two workers at a time: {overlaps[:5]}": not overlaps,
        "more photographs fetched again than were leased": report["fetched_again"] <= report["leased_when_lost"],
        f"{leases} leases are left": not leases,
        f"metrics of workers: {report['metrics']}": set(report["metrics"]) == _METRICS,
        f"workers ended: {report['ends']}": set(report["ends"]) <= {"finished", "killed"},
    }
    return [fault for fault, holds in checks.items() if not holds]


def _overlaps(log: list[Asked]) -> Any:
    """Yield the pairs of requests that two workers sent to a host at a time."""
    by_host = defaultdict(list)
    for asked in log:
        by_host[asked.host].append(asked)
    for requests in by_host.values():
        last: dict[str, Asked] = {}
        for asked in sorted(requests, key=lambda asked: asked.began):
            for worker, other in last.items():
                if worker != asked.worker and other.ended > asked.began:
                    yield other, asked
            if asked.worker not in last or last[asked.worker].ended < asked.ended:
                last[asked.worker] = asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
