"""Whether a server's memory levels off: thousands of requests, good and hostile, and what worker and Java hold.

    python -m benchmarks.soak [--requests 20000] [--clients 8]

One request in five is no photograph: cut off, empty, text, a bomb, junk JSON. The network is small, since the question
is what a request leaves behind and not what it computes.
"""

import argparse
import os
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.material import Served, noise, serving, untrained
from lightmeter import cli
from lightmeter.console import Console, use_console
from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.project import Project
from lightmeter.serve.torchserve import processes

STEP = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, use_console(Console(quiet=True)):
        cli.main(["init", str(Path(folder) / "project"), "--quiet"])
        project = Project(Path(folder) / "project")
        run = untrained(project.runs / "small", Preprocessing(patches=1, patch_size=32))
        with serving(project, run, token_minutes=600) as served:
            soak(served, chosen.requests, chosen.clients)


def soak(served: Served, count: int, clients: int) -> None:
    bodies = [*noise(4), *hostile()]
    order = [0, 1, 2, 3, 4, 0, 1, 2, 3, 5, 0, 1, 2, 3, 6, 0, 1, 2, 3, 7, 0, 1, 2, 3, 8]
    members = processes.processes_of(served.state)
    begun = time.perf_counter()
    answers: Counter[int] = Counter()

    def ask(number: int) -> int:
        return served.ask(bodies[order[number % len(order)]]).status_code

    with ThreadPoolExecutor(clients) as pool:
        for first in range(0, count, STEP):
            sent = min(first + STEP, count)
            answers.update(pool.map(ask, range(first, sent)))
            held = {member.name(): round(member.memory_info().rss / 1e6) for member in members}
            took = time.perf_counter() - begun
            print(f"{sent:6} requests, {took:5.0f} s: MB {held}, {dict(answers)}", flush=True)


def hostile() -> list[bytes]:
    """Return a photograph cut off, an empty body, text, a PNG bomb of 30,000 × 30,000 pixels, and junk."""
    header = b"\x00\x00\x75\x30\x00\x00\x75\x30\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")):
        bomb += len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return [noise(1)[0][:5000], b"", b"no picture", bomb, os.urandom(50_000)]


if __name__ == "__main__":
    main()
