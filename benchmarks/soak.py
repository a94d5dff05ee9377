"""Whether a server's memory levels off: thousands of requests, good and hostile, and what worker and Java hold.

    python -m benchmarks.soak [--requests 20000] [--clients 8]

One request in five is no photograph: cut off, empty, text, a bomb, junk JSON. The network is small, since the question
is what a request leaves behind and not what it computes.
"""

import argparse
import json
import os
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import torch

from benchmarks.serve import noise
from lightmeter.console import Console, using
from lightmeter.project import create
from models import architectures
from models.runs import write_model
from models.spec import ModelSpec, Preprocessing, Target
from serve import processes, server
from serve.archive import make_archive
from serve.state import home

STEP = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, using(Console(quiet=True)):
        project = create(Path(folder) / "project")
        archive = make_archive(small(project.runs / "small"), project.archives)
        state = server.start(project, [archive.path], server.Options())
        place = home(project, "main")
        try:
            key = json.loads(place.keys.read_text())["inference"]["key"]
            soak(
                f"{state.inference}/predictions/small", key, processes.belonging(state), chosen.requests, chosen.clients
            )
        finally:
            server.stop(place)


def soak(address: str, key: str, members: list[psutil.Process], count: int, clients: int) -> None:
    bodies = [*noise(4), *hostile()]
    order = [0, 1, 2, 3, 4, 0, 1, 2, 3, 5, 0, 1, 2, 3, 6, 0, 1, 2, 3, 7, 0, 1, 2, 3, 8]
    begun = time.perf_counter()
    answers: Counter[int] = Counter()
    with (
        httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False) as http,
        ThreadPoolExecutor(clients) as pool,
    ):

        def ask(number: int) -> int:
            body = bodies[order[number % len(order)]]
            return http.post(address, content=body, headers={"Content-Type": "application/octet-stream"}).status_code

        for first in range(0, count, STEP):
            answers.update(pool.map(ask, range(first, min(first + STEP, count))))
            held = {member.name(): round(member.memory_info().rss / 1e6) for member in members}
            print(
                f"{first + STEP:6} requests, {time.perf_counter() - begun:5.0f} s: MB {held}, {dict(answers)}",
                flush=True,
            )


def hostile() -> list[bytes]:
    """Return a photograph cut off, an empty body, text, a PNG bomb of 30,000 × 30,000 pixels, and junk."""
    header = b"\x00\x00\x75\x30\x00\x00\x75\x30\x08\x00\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")):
        bomb += len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return [noise(1)[0][:5000], b"", b"no picture", bomb, os.urandom(50_000)]


def small(folder: Path) -> Path:
    folder.mkdir(parents=True)
    spec = ModelSpec(
        name="small",
        version="1.0",
        lightmeter="0",
        recipe="patches",
        architecture="efficientnet-lite0",
        preprocessing=Preprocessing(patches=1, patch_size=32),
        targets=(Target("shutter", ("slow", "fast")),),
    )
    torch.manual_seed(0)
    write_model(folder, spec, architectures.build(spec))
    return folder


if __name__ == "__main__":
    main()
