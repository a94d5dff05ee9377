"""Group ten million perceptual hashes: time, memory and disk, and whether every planted near-duplicate is found.

Usage: python -m benchmarks.scale.duplicates [--hashes N] [--radius R] [--workers W] [--memory GB]

Hashes are random; for one in fifty, a copy with up to R bits changed is added. Each process may use at most the given
memory (RLIMIT_AS), so that the run fails where it needs more.
"""

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from numpy.typing import NDArray

from lightmeter.executors.local import LocalExecutor
from lightmeter.harvest.duplicates.partitions import group_hashes
from lightmeter.harvest.workers.pool import WorkerPool

_TASK_S = 3600.0


def planted(count: int, radius: int, seed: int = 0) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return hashes, the last of which are near-duplicates of others, and the row of the original of each."""
    rng = np.random.default_rng(seed)
    copies = count // 50
    hashes = rng.integers(0, 2**64, count - copies, dtype=np.uint64, endpoint=False)
    originals = rng.choice(len(hashes), copies, replace=False)
    changed = hashes[originals]
    for _ in range(radius):
        changed ^= np.uint64(1) << rng.integers(0, 64, copies, dtype=np.uint64)
    return np.concatenate((hashes, changed)), originals


def used_resources() -> tuple[float, list[float]]:
    """Return the processor time of this process and those below it, and the largest memory of each in GB."""
    this = psutil.Process()
    processes = [this, *this.children(recursive=True)]
    times = [process.cpu_times() for process in processes]
    texts = [Path(f"/proc/{process.pid}/status").read_text() for process in processes]
    peaks = [int(text.partition("VmHWM:")[2].split()[0]) / 1e6 for text in texts]
    return sum(item.user + item.system for item in times), peaks


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashes", type=int, default=10_000_000)
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=float, default=8.0, help="limit of each process, in GB")
    args = parser.parse_args()
    limit = int(args.memory * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    hashes, originals = planted(args.hashes, args.radius)
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        with LocalExecutor(WorkerPool(args.workers, _TASK_S, Path(folder) / "log")) as executor:
            labels = group_hashes(hashes, args.radius, executor, Path(folder) / "scratch")
            seconds = time.perf_counter() - started
            cpu, peaks = used_resources()
    copies = len(originals)
    missed = int((labels[-copies:] != labels[originals]).sum())
    print(f"{len(hashes):,} hashes, radius {args.radius}, {args.workers} processes: {seconds:.0f} s ({cpu:.0f} s CPU)")
    peak = f"{peaks[0]:.2f} + {sum(peaks[1:]):.2f}"
    print(
        f"peak memory (this process + its workers): {peak} GB; planted near-duplicates missed: {missed} of {copies:,}"
    )
    print(f"groups: {len(np.unique(labels)):,}")


if __name__ == "__main__":
    main()
