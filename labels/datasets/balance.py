"""Balancing classes by leaving photographs out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightmeter.labels.datasets.stratify import shuffled

Numbers = NDArray[np.int64]


def undersample(
    strata: Numbers, classes: Numbers, groups: Numbers, names: Sequence[str], seed: int
) -> NDArray[np.bool_]:
    """Return which photographs to keep so that on each side every class has as many as the rarest has there.

    Photographs go from the largest groups first, so that as many photographers as can be stay: every photograph gets
    its place within its group and class, in an order that the seed decides, and those with the first places stay.

    Args:
        strata: the side of each photograph, shape (photographs,).
        classes: its class.
        groups: its group.
        names: what tells it from the others, so that row numbers play no part.
        seed: another seed keeps others.
    """
    place = np.empty(len(names), dtype=np.int64)
    place[np.argsort(shuffled(seed, names), kind="stable")] = np.arange(len(names))
    rank = _rank(np.stack((strata, classes, groups)), place)
    within = _rank(np.stack((strata, classes)), rank * len(names) + place)
    cells, members = np.unique(strata * (classes.max(initial=0) + 1) + classes, return_counts=True)
    side_of_cell = cells // (classes.max(initial=0) + 1)
    least = np.full(int(strata.max(initial=0)) + 1, len(names))
    np.minimum.at(least, side_of_cell, members)
    return np.asarray(within < least[strata])


def _rank(keys: Numbers, order: Numbers) -> Numbers:
    """Return the place of each thing among those with the same keys, counted from 0, shape (things,)."""
    arranged = np.lexsort((order, *keys))
    sorted_keys = keys[:, arranged]
    fresh = np.r_[True, (sorted_keys[:, 1:] != sorted_keys[:, :-1]).any(axis=0)]
    starts = np.flatnonzero(fresh)
    rank = np.empty(len(order), dtype=np.int64)
    rank[arranged] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return rank
