"""The processes of a cluster: workers on one catalogue, and object storage."""

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.scale.cluster_sites import CONTACT
from lightmeter.store.urls import StoreUrl
from tests.support import BackgroundCommand, CommandRunner


@dataclass(frozen=True, slots=True)
class Plan:
    """Size of a cluster, and how often a worker is killed.

    Attributes:
        every_s: Seconds between two kills.
        kills: Number of kills, before which the work does not end; None to kill until it ends.
        stops: Number of workers that are stopped past their lease.
    """

    workers: int
    photographs: int
    hosts: int
    every_s: float
    lease_s: float
    kills: int | None = None
    stops: int = 1


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker: the name that it sends to sites, and the port of its metrics."""

    name: str
    port: int


class Cluster:
    """A project with workers.

    Args:
        home: Folder for the project.
        plan: Size of the cluster.
        variables: Variables that name catalogue and store; a SQLite catalogue and a folder without them.
        commands: Starts the processes.

    Attributes:
        running: Processes of the workers.
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
        self.running: dict[BackgroundCommand, Worker] = {}
        self.ends: Counter[str] = Counter()

    def command(self, *arguments: str) -> None:
        """Run a command to its end."""
        process = self._start(*arguments)
        code, error = process.wait()
        if code:
            raise RuntimeError(error)

    def start_worker(self) -> None:
        self.started += 1
        worker = Worker(f"w{self.started}", free_port())
        contact = {"LIGHTMETER_CRAWL__CONTACT": f"{worker.name}{CONTACT}"}
        command = self._start("harvest", "work", "--metrics-port", str(worker.port), "--json", **contact)
        self.running[command] = worker

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
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
