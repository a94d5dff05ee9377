"""Workers on one catalogue that are killed while they download: nothing may be lost, stored or asked for twice.

    python -m benchmarks.scale.cluster [--workers 8] [--photographs 20000] [--hosts 50] [--every 5]
        [--lease 10] [--sqlite] [--local]

A server on the loopback addresses 127.0.x.y has the photographs. ``harvest run urls --discover-only`` lists them, and
processes of ``harvest work`` download them into object storage. Every few seconds one of them is killed and another one
is started; one is stopped (SIGSTOP) for longer than its lease, and PostgreSQL is restarted once. The metrics of the
workers are read meanwhile. At the end catalogue, store and the log of the server are compared.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from benchmarks.scale.cluster_faults import METRICS, Disturbance
from benchmarks.scale.cluster_processes import Cluster, Plan, object_storage
from benchmarks.scale.cluster_sites import Asked, PhotoServer, overlaps, repetitions
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.harvest.catalogue.models import Image, SightingRecord
from tests.support import CommandRunner


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--photographs", type=int, default=20_000)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--lease", type=float, default=10.0, help="[crawl] lease_s")
    parser.add_argument("--sqlite", action="store_true", help="a SQLite catalogue, which is not restarted")
    parser.add_argument("--local", action="store_true", help="a folder as photo store instead of object storage")
    parser.add_argument("--kills", type=int, help="number of kills (default: until the end)")
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
    photographs = PhotoServer(held=f"/{plan.photographs - 1}.jpg")
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
    disturbance = Disturbance(cluster, engine, server)
    while any(worker.poll() is None for worker in cluster.running):
        disturbance.step()
        if disturbance.complete:
            photographs.release()
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
        **repetitions(photographs.log),
    }
    report["faults"] = _faults(cluster, engine, list(overlaps(photographs.log, disturbance.killed_at)), report)
    engine.dispose()
    return report


def _faults(cluster: Cluster, engine: Engine, pairs: list[tuple[Asked, Asked]], report: dict[str, Any]) -> list[str]:
    """Return what is wrong with catalogue, store, metrics and requests; ``pairs`` were sent to a host at a time."""
    with engine.connect() as connection:
        columns = (SightingRecord.state, SightingRecord.reason)
        rows = connection.execute(select(*columns, func.count()).group_by(*columns))
        states = {(state.value, reason): number for state, reason, number in rows}
        leases = connection.scalar(select(func.count()).where(SightingRecord.worker.is_not(None)))
        hashes = set(connection.scalars(select(Image.sha256)))
    stored = [file.sha256 for shard in cluster.store.shards() for file in cluster.store.files(shard)]
    total = cluster.plan.photographs
    checks = {
        f"sightings by state: {states}": states == {("fetched", None): total},
        f"{len(hashes)} images": len(hashes) == total,
        f"{len(stored)} files in the store": set(stored) == hashes and len(stored) == total,
        "files of the store are damaged": not any(cluster.store.map(cluster.store.fault, stored)),
        f"hosts asked by two workers at a time: {pairs[:5]}": not pairs,
        "more photographs fetched again than were leased": report["fetched_again"] <= report["leased_when_lost"],
        f"{leases} leases are left": not leases,
        f"metrics of workers: {report['metrics']}": set(report["metrics"]) == METRICS,
        f"workers ended: {report['ends']}": set(report["ends"]) <= {"finished", "killed"},
    }
    return [fault for fault, holds in checks.items() if not holds]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
