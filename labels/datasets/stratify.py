"""Dealing groups of photographs out to the sides of a split so that each class gets its share on every side."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How many photographs of each class are in each group, where there are any, by group and then class.

    Attributes:
        groups: group numbers, shape (entries,).
        classes: class numbers, shape (entries,).
        photographs: shape (entries,).
        group_total: groups, also those without a labelled photograph.
        class_total: classes.
    """

    groups: Numbers
    classes: Numbers
    photographs: Numbers
    group_total: int
    class_total: int

    @cached_property
    def sizes(self) -> Numbers:
        """Labels in each group, shape (groups,)."""
        return np.bincount(self.groups, self.photographs, self.group_total).astype(np.int64)

    @cached_property
    def totals(self) -> Numbers:
        """Photographs of each class, shape (classes,)."""
        return np.bincount(self.classes, self.photographs, self.class_total).astype(np.int64)

    def of(self, chosen: Sequence[int]) -> "Counts":
        """Return the counts of some groups, numbered anew in the order given."""
        number = np.full(self.group_total, -1, dtype=np.int64)
        number[np.asarray(chosen, dtype=np.int64)] = np.arange(len(chosen))
        meant = np.flatnonzero(number[self.groups] >= 0)
        meant = meant[np.argsort(number[self.groups[meant]], kind="stable")]
        parts = number[self.groups[meant]], self.classes[meant], self.photographs[meant]
        return Counts(*parts, len(chosen), self.class_total)


def count(group_of: Numbers, rows: Numbers, classes: Numbers, class_total: int) -> Counts:
    """Count the photographs of each class in each group.

    Args:
        group_of: the group of each photograph, shape (photographs,).
        rows: photographs that have a class, shape (labels,); one with several classes stands there as often.
        classes: class numbers, shape (labels,).
        class_total: classes of all targets together.
    """
    places, photographs = np.unique(group_of[rows] * class_total + classes, return_counts=True)
    groups = int(group_of.max(initial=-1)) + 1
    return Counts(places // class_total, places % class_total, photographs, groups, class_total)


def stratified_group_split(counts: Counts, ratios: Sequence[float], names: Sequence[str], seed: int) -> list[int]:
    """Return for each group the side that it goes to.

    Greedy: the largest groups first, each to the side where it brings the class counts nearest to their shares in the
    sense of chi-square, Σ (count − share)² / share; groups of one size in an order that the seed decides. Then every
    class that is missing from a side gets one group from another that can spare it.

    Args:
        counts: photographs by group and class.
        ratios: the sides' shares; they sum to 1, and none is 0.
        names: of the groups; with the seed they decide the order, so that row numbers play no part.
        seed: another seed gives another split.
    """
    sides = _Assignment(counts, ratios)
    order = np.lexsort((shuffled(seed, names), -counts.sizes))
    large = int((counts.sizes > 1).sum())
    for group in order[:large].tolist():
        sides.put(group, sides.cheapest(group))
    sides.put_singles(order[large:])
    for side in range(len(ratios)):
        for label in sides.missing(side):
            sides.fetch(label, side)
    return sides.side_of


def shuffled(seed: int, names: Iterable[str]) -> NDArray[np.uint64]:
    """Return numbers that put names in an order that looks random and that the seed decides, shape (names,)."""
    hashes = (hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(hashes), dtype=np.uint64)


class _Assignment:
    """The sides of a split while they fill."""

    def __init__(self, counts: Counts, ratios: Sequence[float]) -> None:
        self.counts = counts
        # At least one photograph of each class is wanted everywhere, however small the share.
        self.wanted: list[list[float]] = np.maximum(np.outer(ratios, counts.totals), 1.0).tolist()
        self.have = [[0] * counts.class_total for _ in ratios]
        self.holders = [[0] * counts.class_total for _ in ratios]
        self.side_of = [0] * counts.group_total
        self._placed = [False] * counts.group_total
        self._starts = np.searchsorted(counts.groups, np.arange(counts.group_total + 1)).tolist()

    def put(self, group: int, side: int) -> None:
        before = self.side_of[group]
        for label, number in self._labels(group):
            self.have[side][label] += number
            self.holders[side][label] += 1
            if self._placed[group]:
                self.have[before][label] -= number
                self.holders[before][label] -= 1
        self.side_of[group], self._placed[group] = side, True

    def put_singles(self, groups: Numbers) -> None:
        """Put groups of a single label, which come last, each to its cheapest side: class by class, all at once.

        What the k-th photograph of a class costs a side grows with k, so the cheapest sides in turn are the sides of
        the smallest of all these costs, in their order.
        """
        labels = np.full(self.counts.group_total, -1, dtype=np.int64)
        labels[self.counts.groups] = self.counts.classes
        for label in np.unique(labels[groups][labels[groups] >= 0]).tolist():
            members = groups[labels[groups] == label]
            more = np.arange(len(members))
            costs = [
                (2 * (h[label] + more - w[label]) + 1) / w[label] for h, w in zip(self.have, self.wanted, strict=True)
            ]
            cheapest = np.argsort(np.concatenate(costs), kind="stable")[: len(members)] // len(members)
            for group, side in zip(members.tolist(), cheapest.tolist(), strict=True):
                self.put(group, side)

    def cheapest(self, group: int) -> int:
        """Return the side to which a group goes at the least cost."""
        labels = self._labels(group)
        costs = [self._growth(labels, side) for side in range(len(self.have))]
        return costs.index(min(costs))

    def missing(self, side: int) -> list[int]:
        """Return which classes a side lacks though there are photographs of them."""
        return [
            label
            for label, number in enumerate(self.counts.totals.tolist())
            if number and not self.holders[side][label]
        ]

    def fetch(self, label: int, side: int) -> None:
        """Move the group that costs least to a side that lacks a class, unless another side would lack one then."""
        having = self.counts.groups[self.counts.classes == label].tolist()
        spare = [group for group in having if self._can_leave(group)]
        if spare and not self.holders[side][label]:
            self.put(min(spare, key=lambda group: self._growth(self._labels(group), side)), side)

    def _growth(self, labels: list[tuple[int, int]], side: int) -> float:
        """Return how much chi-square grows if photographs come to a side."""
        have, wanted = self.have[side], self.wanted[side]
        return sum(number * (2 * (have[label] - wanted[label]) + number) / wanted[label] for label, number in labels)

    def _can_leave(self, group: int) -> bool:
        holders = self.holders[self.side_of[group]]
        return all(holders[label] > 1 for label, _ in self._labels(group))

    def _labels(self, group: int) -> list[tuple[int, int]]:
        """Return the classes of a group with their numbers of photographs."""
        here = slice(self._starts[group], self._starts[group + 1])
        return list(zip(self.counts.classes[here].tolist(), self.counts.photographs[here].tolist(), strict=True))
