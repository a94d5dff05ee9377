"""Workers of one catalogue, of which one is killed; ``benchmarks/scale/cluster.py`` is the long form."""

from pathlib import Path

import pytest

cluster = pytest.importorskip("benchmarks.scale.cluster")


def test_killed_worker_loses_and_repeats_nothing(tmp_path: Path) -> None:
    plan = cluster.Plan(workers=2, photographs=200, hosts=10, every_s=0.5, lease_s=2, kills=1, stops=0)
    report = cluster.run_cluster(tmp_path, plan)
    assert report["faults"] == []
    assert report["kills"] == 1
