"""Grouping of hashes in partitions on disk."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter.executors.base import Executor, Shard
from lightmeter.harvest.duplicates.partitions import group_hashes
from lightmeter.images.hamming import group_by_hamming_radius


class InProcess(Executor):
    """Runs shards one by one, the last ones first."""

    def run(
        self, function: Callable[[Any], Any], shards: Iterable[Shard[Any]], stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Shard[Any], list[Any]]]:
        for shard in reversed(list(shards)):
            yield shard, [function(item) for item in shard.items]


def brute_force(hashes: list[int], radius: int) -> list[int]:
    labels = list(range(len(hashes)))
    for first, one in enumerate(hashes):
        for second in range(first):
            if (one ^ hashes[second]).bit_count() <= radius:
                old, new = labels[first], labels[second]
                low, high = min(old, new), max(old, new)
                labels = [low if label == high else label for label in labels]
    return labels


@st.composite
def clustered(draw: st.DrawFn) -> list[int]:
    """Hashes near a few centres, in chains."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=9)
    hashes = list(centres)
    for bits in draw(st.lists(flips, max_size=20)):
        base = hashes[draw(st.integers(0, len(hashes) - 1))]
        hashes.append(base ^ sum(1 << bit for bit in {*bits}))
    return hashes


@given(clustered(), st.integers(0, 7), st.integers(1, 5))
@settings(max_examples=20)
def test_partitions_give_the_groups_of_brute_force(hashes: list[int], radius: int, max_partition: int) -> None:
    array = np.array(hashes, dtype=np.uint64)
    with TemporaryDirectory() as folder:
        labels = group_hashes(array, radius, InProcess(), Path(folder) / "scratch", max_partition=max_partition)
        assert not list(Path(folder).iterdir())
    assert labels.tolist() == brute_force(hashes, radius) == group_by_hamming_radius(array, radius).tolist()
