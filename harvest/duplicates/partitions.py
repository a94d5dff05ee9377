"""Exact grouping of more hashes than fit into memory: partitions on disk, which can be searched on many machines.

As in `lightmeter.images.hamming`, only hashes that agree in some of their parts are compared. For each
combination of parts the hashes are written to files by those parts, so that all that agree are in one file. The pairs
of each file are found independently of the others, and connected at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightmeter.executors.base import Executor, Failed, Shard
from lightmeter.files import temporary_folder
from lightmeter.images.hamming import (
    Combination,
    Hashes,
    Indices,
    combinations_of_parts,
    group_by_hamming_radius,
    key_of,
    merge_components,
    merge_within_buckets,
    smallest_members,
)

_CHUNK = 1 << 22
_MIX = np.uint64(0x9E3779B97F4A7C15)  # spreads keys over the partitions
_RECORD = np.dtype([("hash", "<u8"), ("row", "<i8")])


@dataclass(frozen=True)
class Partition:
    """Hashes among which near-duplicates are searched.

    Attributes:
        hashes: Shape (n,).
        rows: Index of each among all hashes, shape (n,).
        parts: Parts in which near-duplicates agree.
        radius: Maximum Hamming distance of near-duplicates, in bits.
    """

    hashes: Hashes
    rows: Indices
    parts: Combination
    radius: int


def near_pairs(partition: Partition) -> Indices:
    """Return pairs of rows that connect the near-duplicates of a partition, shape (2, pairs).

    There are fewer pairs than hashes: each row with the smallest one of its group.
    """
    labels = np.arange(len(partition.hashes), dtype=np.int64)
    key = key_of(partition.hashes, partition.parts)
    labels = merge_within_buckets(labels, partition.hashes, key, partition.radius)
    members = np.flatnonzero(labels != np.arange(len(labels)))
    return np.stack((partition.rows[members], partition.rows[labels[members]]))


def group_hashes(
    hashes: Hashes, radius: int, executor: Executor, scratch: Path, *, max_partition: int = 1_000_000
) -> Indices:
    """Group hashes as `group_by_hamming_radius` does, with bounded memory beside a few numbers a hash.

    Args:
        hashes: Shape (n,).
        radius: Maximum Hamming distance of near-duplicates, in bits.
        executor: Where the partitions are searched.
        scratch: Folder for temporary files, about 16 bytes a hash.
        max_partition: Number of hashes that a partition has about at most.

    Returns:
        Index of the first member of each hash's group, shape (n,).

    Raises:
        ValueError: The radius is not between 0 and 7.
    """
    if len(hashes) <= max_partition:
        return group_by_hamming_radius(hashes, radius)
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    labels = np.arange(len(unique), dtype=np.int64)
    for parts in combinations_of_parts(len(unique), radius):
        with temporary_folder(scratch) as folder:
            shards = _partitions(unique, parts, radius, folder, -(-len(unique) // max_partition))
            pairs = [np.empty((2, 0), np.int64)]
            for _, (outcome,) in executor.run(near_pairs, shards):
                if isinstance(outcome, Failed):
                    raise outcome.error
                pairs.append(outcome)
        labels = merge_components(labels, *np.concatenate(pairs, axis=1))
    return smallest_members(labels, first, inverse)


def extend_groups(hashes: Hashes, labels: Indices, new: NDArray[np.bool_], radius: int) -> Indices:
    """Return the groups of hashes after some were added.

    Args:
        hashes: Shape (n,).
        labels: Index of the first member of each group; new hashes have groups of their own, shape (n,).
        new: Which hashes are new, shape (n,).
        radius: Maximum Hamming distance of near-duplicates, in bits.

    Returns:
        Index of the first member of each hash's group, shape (n,).
    """
    for parts in combinations_of_parts(len(hashes), radius):
        rows = np.flatnonzero(np.isin(key_of(hashes, parts), key_of(hashes[new], parts)))
        pairs = near_pairs(Partition(hashes[rows], rows, parts, radius))
        labels = merge_components(labels, *pairs)
    return labels


def _partitions(
    hashes: Hashes, parts: Combination, radius: int, folder: Path, count: int
) -> Iterator[Shard[Partition]]:
    """Yield the partitions of a combination of parts; each file is deleted when it has been read."""
    for start in range(0, len(hashes), _CHUNK):
        chunk = hashes[start : start + _CHUNK]
        numbers = _partition_numbers(key_of(chunk, parts), count)
        order = np.argsort(numbers, kind="stable")
        records = np.empty(len(chunk), _RECORD)
        records["hash"], records["row"] = chunk[order], order + start
        for number, items in enumerate(np.split(records, np.searchsorted(numbers[order], np.arange(1, count)))):
            with (folder / str(number)).open("ab") as file:
                file.write(items.tobytes())
    name = "-".join(str(start) for start, _ in parts)
    for number in range(count if len(hashes) else 0):
        records = np.fromfile(folder / str(number), _RECORD)
        (folder / str(number)).unlink()
        if len(records) > 1:
            partition = Partition(records["hash"].copy(), records["row"].copy(), parts, radius)
            yield Shard(f"{name}.{number}", [partition])


def _partition_numbers(key: Hashes, count: int) -> NDArray[np.int64]:
    """Return the partition of each key, from 0 to ``count - 1``, alike for equal keys."""
    return np.asarray((key * _MIX >> np.uint64(32)) * np.uint64(count) >> np.uint64(32), dtype=np.int64)
