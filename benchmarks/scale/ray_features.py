"""Train and evaluate a recipe with features from a Ray cluster of two nodes, one of which is lost, and on this machine.

Usage: python -m benchmarks.scale.ray_features [--photographs N]

The nodes are processes of this machine with one core each. Weights and predictions must be equal, byte for byte.
"""

import argparse
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray.cluster_utils import Cluster

from lightmeter.cli import main as run_command
from lightmeter.executors.ray import RayExecutor
from tests.models.conftest import make_dataset

_RECIPE = ["patches", "--set", "patches=2", "--set", "patch_size=64", "--device", "cpu"]
_NODES = 2


def train(folder: Path, dataset: Path, *options: str) -> tuple[float, bytes, bytes]:
    """Train and evaluate with an empty cache; return the seconds, the weights and the predictions."""
    os.environ["XDG_CACHE_HOME"] = str(folder.with_suffix(".cache"))
    started = time.perf_counter()
    for command in (["train", *_RECIPE, "--out", str(folder)], ["evaluate", str(folder), "--device", "cpu"]):
        if run_command(["--quiet", "models", *command, "--data", str(dataset), *options]):
            raise SystemExit(f"models {command[0]} failed")
    seconds = time.perf_counter() - started
    return seconds, (folder / "model.safetensors").read_bytes(), (folder / "predictions.parquet").read_bytes()


def main() -> None:
    """Run the trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=600)
    args = parser.parse_args()
    with TemporaryDirectory() as home:
        dataset = make_dataset(Path(home, "data", "noise-v1"), count=args.photographs).folder
        seconds, *expected = train(Path(home, "local"), dataset)
        print(f"this machine: {seconds:.1f} s", flush=True)
        cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(_NODES)]
        options = ("--executor", "ray", "--address", cluster.address)
        lose_after(cluster, nodes[0], shards=3)
        seconds, *results = train(Path(home, "ray"), dataset, *options)
        print(
            f"Ray, one of {_NODES} nodes lost after 3 shards: {seconds:.1f} s; equal: {results == expected}", flush=True
        )
        cluster.shutdown()
    if results != expected:
        raise SystemExit(1)


def lose_after(cluster: Any, node: Any, shards: int) -> None:
    """Kill a node once some shards are done."""
    run, done = RayExecutor.run, iter(range(10**9))

    def losing(self: RayExecutor, *args: Any) -> Any:
        for result in run(self, *args):
            if next(done) == shards:
                threading.Thread(target=cluster.remove_node, args=(node, False)).start()
            yield result

    setattr(RayExecutor, "run", losing)  # noqa: B010 - mypy


if __name__ == "__main__":
    main()
