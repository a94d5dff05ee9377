"""Stratified splits of groups: every class gets its share of photographs in every split."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Integers = NDArray[np.int64]


def count_classes(groups: Integers, classes: Integers, shape: tuple[int, int]) -> csr_array:
    """Count labels by group and class.

    Args:
        groups: Group index of each label, shape (n_labels,).
        classes: Class index of each label, shape (n_labels,).
        shape: Number of groups and number of classes.

    Returns:
        Sparse matrix of counts, shape (n_groups, n_classes).
    """
    counts = csr_array((np.ones(len(groups), dtype=np.int64), (groups, classes)), shape=shape)
    counts.sum_duplicates()
    return counts


def stratified_group_split(
    counts: csr_array, ratios: Sequence[float], names: Sequence[str], seed: int, fixed: Integers | None = None
) -> Integers:
    """Assign groups to splits so that every class gets its share in every split.

    Greedy: the largest groups come first, and each goes to the split where it brings the class counts closest to their
    expected values by chi-square, Σ (count − expected)² / expected. Groups of one size come in a random order. Finally
    each class that a split lacks gets a group from another split that can spare one.

    Args:
        counts: Labels by group and class, shape (n_groups, n_classes); see `count_classes`.
        ratios: Share of each split; all positive, with the sum 1.
        names: Unique name of each group. Name and seed determine the random order, whatever the order of the rows.
        seed: Random seed.
        fixed: Split of each group that has one already, -1 for the others (default: all are free), shape (n_groups,).

    Returns:
        Split index of each group, shape (n_groups,).
    """
    is_free = np.ones(len(names), dtype=np.bool_) if fixed is None else fixed < 0
    assignment = _Assignment(counts, ratios, is_free)
    for group in np.flatnonzero(~is_free).tolist():
        assignment.assign(group, int(fixed[group]) if fixed is not None else 0)
    sizes = counts.sum(axis=1)
    order = np.lexsort((hash_order(seed, names), -sizes))
    order = order[is_free[order]]
    n_large = int((sizes[order] > 1).sum())
    for group in order[:n_large].tolist():
        assignment.assign(group, int(assignment.costs(group).argmin()))
    assignment.assign_singles(order[n_large:])
    assignment.fill_missing()
    return assignment.splits


def hash_order(seed: int, names: Iterable[str]) -> NDArray[np.uint64]:
    """Return pseudo-random sort keys that depend on seed and name alone, shape (n_names,)."""
    hashes = (hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(hashes), dtype=np.uint64)


class _Assignment:
    """Groups and class counts of each split while groups are assigned.

    Attributes:
        splits: Split index of each group, shape (n_groups,).
        expected: Labels that each split should have of each class, at least 1, shape (n_splits, n_classes).
        current: Labels that each split has of each class, shape (n_splits, n_classes).
        holders: Groups with each class in each split, shape (n_splits, n_classes).
    """

    def __init__(self, counts: csr_array, ratios: Sequence[float], is_free: NDArray[np.bool_]) -> None:
        self._counts = counts
        self._is_free = is_free
        self._totals = counts.sum(axis=0)
        self.splits = np.zeros(counts.shape[0], dtype=np.int64)
        self.expected = np.maximum(np.outer(ratios, self._totals), 1.0)
        self.current = np.zeros(self.expected.shape, dtype=np.int64)
        self.holders = np.zeros(self.expected.shape, dtype=np.int64)

    def costs(self, group: int) -> NDArray[np.float64]:
        """Return how much chi-square grows if a group joins each split, shape (n_splits,)."""
        classes, numbers = self._labels(group)
        excess = self.current[:, classes] - self.expected[:, classes]
        costs: NDArray[np.float64] = (numbers * (2 * excess + numbers) / self.expected[:, classes]).sum(axis=1)
        return costs

    def assign(self, group: int, split: int) -> None:
        """Assign a group to a split."""
        self.splits[group] = split
        self._add(group, split, 1)

    def assign_singles(self, groups: Integers) -> None:
        """Assign groups of at most one label, class by class, each to the split where it costs least.

        The cost of the k-th label of a class in a split grows with k. So the sequence of cheapest splits is that of the
        smallest costs in ascending order.

        Args:
            groups: Indices in random order.
        """
        groups = groups[np.diff(self._counts.indptr)[groups] > 0]
        class_of = self._counts.indices[self._counts.indptr[groups]]
        for label in np.unique(class_of).tolist():
            members = groups[class_of == label]
            excess = (self.current - self.expected)[:, label, None] + np.arange(len(members))
            costs = (2 * excess + 1) / self.expected[:, label, None]
            splits = np.argsort(costs, axis=None, kind="stable")[: len(members)] // len(members)
            self.splits[members] = splits
            numbers = np.bincount(splits, minlength=len(self.current))
            self.current[:, label] += numbers
            self.holders[:, label] += numbers

    def fill_missing(self) -> None:
        """Move the cheapest group to each split that lacks a class, if its own split can spare the group."""
        for split, label in np.argwhere((self.holders == 0) & (self._totals > 0)).tolist():
            groups = self._groups_with(label)
            candidates = [group for group in groups if self._is_free[group] and self._can_leave(group)]
            if candidates and not self.holders[split, label]:
                group = min(candidates, key=lambda group: self.costs(group)[split])
                self._add(group, int(self.splits[group]), -1)
                self.assign(group, split)

    def _add(self, group: int, split: int, sign: int) -> None:
        classes, numbers = self._labels(group)
        self.current[split, classes] += sign * numbers
        self.holders[split, classes] += sign

    def _groups_with(self, label: int) -> list[int]:
        groups: list[int] = self._counts[:, [label]].nonzero()[0].tolist()
        return groups

    def _can_leave(self, group: int) -> bool:
        return bool((self.holders[self.splits[group], self._labels(group)[0]] > 1).all())

    def _labels(self, group: int) -> tuple[Integers, Integers]:
        """Return the classes of a group and its labels of each."""
        row = slice(self._counts.indptr[group], self._counts.indptr[group + 1])
        return self._counts.indices[row], self._counts.data[row]
