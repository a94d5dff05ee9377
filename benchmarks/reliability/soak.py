"""Measure the memory of a server (worker and Java) during thousands of valid and invalid requests.

    python -m benchmarks.reliability.soak [--requests 20000] [--clients 8]

A fifth of the requests contain no photograph: truncated, empty, text, a decompression bomb or random bytes. The network
is small, because the benchmark measures memory and not speed.
"""

import argparse
import os
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.speed.serving_common import ServedModel, noise, serving, untrained
from lightmeter import cli
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project
from lightmeter.serve.torchserve import processes
from lightmeter.terminal.console import Console, use_console

_REPORT_INTERVAL = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="number of requests (default: 20000)")
    parser.add_argument("--clients", type=int, default=8, help="number of clients (default: 8)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, use_console(Console(quiet=True)):
        cli.main(["init", str(Path(folder) / "project"), "--quiet"])
        project = Project(Path(folder) / "project")
        run = untrained(project.runs / "small", Preprocessing(patches=1, patch_size=32))
        with serving(project, run, token_minutes=600) as served:
            soak(served, options.requests, options.clients)


def soak(served: ServedModel, count: int, clients: int) -> None:
    bodies = [*noise(4), *invalid_bodies()]
    order = [0, 1, 2, 3, 4, 0, 1, 2, 3, 5, 0, 1, 2, 3, 6, 0, 1, 2, 3, 7, 0, 1, 2, 3, 8]
    server_processes = processes.processes_of(served.state.token)
    started = time.perf_counter()
    statuses: Counter[int] = Counter()

    def status(index: int) -> int:
        return served.client.status(bodies[order[index % len(order)]])

    with ThreadPoolExecutor(clients) as pool:
        for first in range(0, count, _REPORT_INTERVAL):
            sent = min(first + _REPORT_INTERVAL, count)
            statuses.update(pool.map(status, range(first, sent)))
            memory = {process.name(): round(process.memory_info().rss / 1e6) for process in server_processes}
            seconds = time.perf_counter() - started
            print(f"{sent:6} requests, {seconds:5.0f} s: MB {memory}, {dict(statuses)}", flush=True)


def invalid_bodies() -> list[bytes]:
    """Return a truncated photograph, an empty body, text, a PNG bomb of 30,000 × 30,000 pixels, and random bytes."""
    header = b"\x00\x00\x75\x30\x00\x00\x75\x30\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")):
        bomb += len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return [noise(1)[0][:5000], b"", b"not an image", bomb, os.urandom(50_000)]


if __name__ == "__main__":
    main()
