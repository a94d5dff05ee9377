"""Exact grouping of 64-bit perceptual hashes within a Hamming radius."""

from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Combination = tuple[tuple[int, int], ...]
"""Lowest bit and width of some parts of a hash."""

_BITS = 64
_MAX_EQUAL_PARTS = 5
_SORTING_EFFORT = 4.0  # of a hash, in comparisons
MAX_RADIUS = 7


def group_by_hamming_radius(hashes: Hashes, radius: int = 4) -> Indices:
    """Group hashes that are connected by a chain of near-duplicates.

    Of ``radius + k`` parts of two hashes that differ in at most ``radius`` bits at least ``k`` are equal (pigeonhole
    principle). Only hashes with ``k`` equal parts are therefore compared, and no pair is missed. ``k`` grows with the
    number of hashes, so that few others share them and the time stays proportional to that number.

    Args:
        hashes: Shape (n,).
        radius: Maximum Hamming distance of near-duplicates, in bits.

    Returns:
        Index of the first member of each hash's group, shape (n,).

    Raises:
        ValueError: The radius is not between 0 and 7.

    Example:
        >>> group_by_hamming_radius(np.array([0b1111, 2**63, 0b0111], dtype=np.uint64), radius=1).tolist()
        [0, 1, 0]
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    labels = np.arange(len(unique), dtype=np.int64)
    for parts in combinations_of_parts(len(unique), radius):
        labels = merge_within_buckets(labels, unique, key_of(unique, parts), radius)
    return smallest_members(labels, first, inverse)


def combinations_of_parts(count: int, radius: int) -> list[Combination]:
    """Return the combinations of parts such that near-duplicates agree in all parts of at least one combination.

    Args:
        count: Number of hashes.
        radius: Maximum Hamming distance of near-duplicates, in bits.

    Raises:
        ValueError: The radius is not between 0 and 7.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"the radius must be between 0 and {MAX_RADIUS} bits, not {radius}")
    equal = _equal_parts(count, radius)
    return list(combinations(_parts(radius + equal), equal))


def smallest_members(labels: Indices, first: Indices, inverse: Indices) -> Indices:
    """Return the smallest index of each hash's group, shape (n,).

    Args:
        labels: Group of each unique hash, shape (unique,).
        first: Smallest index of each unique hash, shape (unique,).
        inverse: Unique hash of each hash, shape (n,).
    """
    smallest = np.full(len(first), len(inverse.reshape(-1)), dtype=np.int64)
    np.minimum.at(smallest, labels, first)
    return np.asarray(smallest[labels][inverse.reshape(-1)], dtype=np.int64)


def merge_components(labels: Indices, first: Indices, second: Indices) -> Indices:
    """Merge groups that are connected by pairs.

    Args:
        labels: Smallest member of each item's group, shape (n,).
        first: First item of each pair, shape (pairs,).
        second: Second item of each pair, shape (pairs,).

    Returns:
        Smallest member of each item's merged group, shape (n,).

    Example:
        >>> merge_components(np.arange(4), np.array([3, 1]), np.array([1, 0])).tolist()
        [0, 0, 2, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.stack((labels[first], labels[second]))
    edges = edges[:, edges[0] != edges[1]]
    if not edges.size:
        return labels
    nodes, index = np.unique(edges, return_inverse=True)
    graph = coo_array((np.ones(edges.shape[1]), index.reshape(edges.shape)), shape=(len(nodes), len(nodes)))
    _, components = connected_components(graph, directed=False)
    _, smallest = np.unique(components, return_index=True)  # nodes are sorted
    merged = np.arange(len(labels))
    merged[nodes] = nodes[smallest][components]
    return np.asarray(merged[labels], dtype=np.int64)


def _equal_parts(count: int, radius: int) -> int:
    """Return the number of equal parts for which sorting by all of their combinations, and comparing, takes least."""

    def cost(equal: int) -> float:
        others = count / 2 ** (_BITS * equal // (radius + equal))
        return float(comb(radius + equal, equal) * (_SORTING_EFFORT + others))

    return min(range(1, _MAX_EQUAL_PARTS + 1), key=cost)


def _parts(number: int) -> list[tuple[int, int]]:
    """Return lowest bit and width of the parts into which a hash is divided."""
    edges = [_BITS * part // number for part in range(number + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def key_of(hashes: Hashes, parts: Combination) -> Hashes:
    """Return some parts of each hash as one number."""
    key = np.zeros_like(hashes)
    for start, width in parts:
        key = (key << np.uint64(width % _BITS)) | ((hashes >> np.uint64(start)) & np.uint64(2**width - 1))
    return key


def merge_within_buckets(labels: Indices, hashes: Hashes, key: Hashes, radius: int) -> Indices:
    """Merge the groups of near-duplicates with equal keys.

    Sorted by key, each hash is compared with the next one of its bucket, then with the next but one, and so on.
    """
    order = np.argsort(key)
    key, hashes = key[order], hashes[order]
    candidates = np.arange(len(order))
    for distance in range(1, len(order)):
        if distance.bit_count() == 1:  # at growing intervals, skip buckets that are one group already
            candidates = candidates[_is_divided(labels[order], key)[candidates]]
        candidates = candidates[candidates + distance < len(order)]
        candidates = candidates[key[candidates] == key[candidates + distance]]
        if not len(candidates):
            break
        near = candidates[np.bitwise_count(hashes[candidates] ^ hashes[candidates + distance]) <= radius]
        labels = merge_components(labels, order[near], order[near + distance])
    return labels


def _is_divided(labels: Indices, key: Hashes) -> NDArray[np.bool_]:
    """Return for each item whether its bucket, a run of equal keys, has more than one label, shape (n,)."""
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    divided = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return np.asarray(divided.repeat(np.diff(np.r_[starts, len(key)])))
