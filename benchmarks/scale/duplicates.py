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
    copies = len(originals)
    missed = int((labels[-copies:] != labels[originals]).sum())
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(item.ru_utime + item.ru_stime for item in usage)
    peak = " + ".join(f"{item.ru_maxrss / 1e6:.2f}" for item in usage)
    print(f"{len(hashes):,} hashes, radius {args.radius}, {args.workers} processes: {seconds:.0f} s ({cpu:.0f} s CPU)")
    print(
        f"peak memory (this process + largest other): {peak} GB; planted near-duplicates missed: {missed} of {copies:,}"
    )
    print(f"groups: {len(np.unique(labels)):,}")


if __name__ == "__main__":
    main()
