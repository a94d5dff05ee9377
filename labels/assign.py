"""Dealing groups of photographs out to the sides of a split so that each class gets its share on every side."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def class_counts(group_of: NDArray[np.int64], classes_of: NDArray[np.int64], class_total: int) -> Counts:
    """Count the photographs of each class in each group.

    Args:
        group_of: group numbers, shape (photographs,).
        classes_of: class numbers, shape (photographs, targets); -1 where a photograph has no label of a target.
        class_total: classes of all targets together.

    Returns:
        Counts, shape (groups, classes).
    """
    flat = np.zeros((int(group_of.max(initial=-1)) + 1) * class_total, dtype=np.int64)
    for column in classes_of.T:
        has = column >= 0
        flat += np.bincount(group_of[has] * class_total + column[has], minlength=len(flat))
    return flat.reshape(-1, class_total)


def assign(counts: Counts, ratios: Sequence[float], names: Sequence[str], seed: int) -> list[int]:
    """Return for each group the side that it goes to.

    Greedy: the largest groups first, each to the side where it brings the class counts nearest to their shares in the
    sense of chi-square, Σ (count − share)² / share; groups of one size in an order that the seed decides. Then every
    class that is missing from a side gets one group from another that can spare it.

    Args:
        counts: photographs by group and class, shape (groups, classes).
        ratios: the sides' shares; they sum to 1, and none is 0.
        names: of the groups; with the seed they decide the order, so that row numbers play no part.
        seed: another seed gives another split.
    """
    sides = _Sides(counts, ratios)
    sizes = counts.sum(axis=1)
    order = sorted(range(len(counts)), key=lambda group: (-sizes[group], _shuffled(seed, names[group])))
    for group in order:
        sides.put(group, sides.cheapest(group))
    for side in range(len(ratios)):
        for label in np.flatnonzero(sides.missing(side)):
            sides.fetch(int(label), side)
    return sides.side_of


def _shuffled(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()


class _Sides:
    """The sides of a split while they fill."""

    def __init__(self, counts: Counts, ratios: Sequence[float]) -> None:
        self.counts = counts
        # At least one photograph of each class is wanted everywhere, however small the share.
        self.wanted: list[list[float]] = np.maximum(np.outer(ratios, counts.sum(axis=0)), 1.0).tolist()
        self.have = [[0] * counts.shape[1] for _ in ratios]
        self.holders = [[0] * counts.shape[1] for _ in ratios]
        self.side_of = [-1] * len(counts)

    def put(self, group: int, side: int) -> None:
        before = self.side_of[group]
        for label, count in self._labels(group):
            self.have[side][label] += count
            self.holders[side][label] += 1
            if before >= 0:
                self.have[before][label] -= count
                self.holders[before][label] -= 1
        self.side_of[group] = side

    def cheapest(self, group: int) -> int:
        """Return the side to which a group goes at the least cost."""
        labels = self._labels(group)
        costs = [self._growth(labels, side) for side in range(len(self.have))]
        return costs.index(min(costs))

    def cost(self, group: int, side: int) -> float:
        """Return how much chi-square grows if a group goes to a side."""
        return self._growth(self._labels(group), side)

    def _growth(self, labels: list[tuple[int, int]], side: int) -> float:
        have, wanted = self.have[side], self.wanted[side]
        growth: float = sum(
            count * (2 * (have[label] - wanted[label]) + count) / wanted[label] for label, count in labels
        )
        return growth

    def missing(self, side: int) -> NDArray[np.bool_]:
        """Return which classes a side lacks though there are photographs of them."""
        missing: NDArray[np.bool_] = (np.asarray(self.holders[side]) == 0) & np.any(self.counts > 0, axis=0)
        return missing

    def fetch(self, label: int, side: int) -> None:
        """Move the group that costs least to a side that lacks a class, unless another side would lack one then."""
        spare = [int(group) for group in np.flatnonzero(self.counts[:, label]) if self._can_leave(int(group))]
        if spare and not self.holders[side][label]:
            self.put(min(spare, key=lambda group: self.cost(group, side)), side)

    def _can_leave(self, group: int) -> bool:
        holders = self.holders[self.side_of[group]]
        return all(holders[label] > 1 for label, _ in self._labels(group))

    def _labels(self, group: int) -> list[tuple[int, int]]:
        row = self.counts[group]
        return [(int(label), int(row[label])) for label in np.flatnonzero(row)]
