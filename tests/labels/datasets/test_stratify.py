"""Stratified splits of groups."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from lightmeter.labels.datasets.components import connect
from lightmeter.labels.datasets.splits.stratify import count_classes, stratified_group_split

RATIOS = (0.8, 0.1, 0.1)


@settings(deadline=None, max_examples=20)
@given(
    photographs=st.lists(
        st.tuples(st.lists(st.integers(0, 25), max_size=3), st.integers(-1, 3)), min_size=3, max_size=60
    ),
    seed=st.integers(0, 1000),
)
def test_photographs_with_a_common_key_are_in_the_same_group(
    photographs: list[tuple[list[int], int]], seed: int
) -> None:
    pairs = [(row, key) for row, (keys, _) in enumerate(photographs) for key in keys]
    rows, keys = np.asarray(pairs, dtype=np.int64).reshape(-1, 2).T
    groups = connect(len(photographs), {"owner": (rows, keys)})
    for key in np.unique(keys):
        assert len(np.unique(groups[rows[keys == key]])) == 1
    labels = np.asarray([label for _, label in photographs])
    labelled = labels >= 0
    n_groups = int(groups.max()) + 1
    counts = count_classes(groups[labelled], labels[labelled], (n_groups, 4))
    splits = stratified_group_split(counts, RATIOS, [str(group) for group in range(n_groups)], seed)
    assert set(splits.tolist()) <= {0, 1, 2}


def test_unconnected_photographs_are_different_groups() -> None:
    keys: Any = {"owner": (np.array([0, 3]), np.array([7, 7])), "body": (np.array([1, 3]), np.array([7, 9]))}
    assert connect(4, keys).tolist() == [0, 1, 2, 0]


def test_class_of_three_groups_is_in_every_split_beside_a_large_group() -> None:
    counts_by_group = np.array([[500, 400], [1, 0], [1, 0], [0, 1], [0, 2]])
    groups, classes = np.nonzero(counts_by_group)
    repeats = counts_by_group[groups, classes]
    counts = count_classes(np.repeat(groups, repeats), np.repeat(classes, repeats), (5, 2))
    splits = stratified_group_split(counts, RATIOS, list("abcde"), 0)
    assert splits[0] == 0
    for label in (0, 1):
        assert set(splits[counts_by_group[:, label] > 0].tolist()) == {0, 1, 2}


def test_class_shares_are_as_close_as_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    people = np.minimum(random.zipf(1.5, 20_000), 3_000)
    labels = (people + random.integers(4, size=len(people))) % 7  # photographers prefer different classes
    names, groups = np.unique(people, return_inverse=True)
    counts = count_classes(groups.astype(np.int64), labels, (len(names), 7))
    ours = stratified_group_split(counts, [0.1] * 10, [str(name) for name in names], 0)[groups]
    theirs = np.zeros(len(labels), dtype=np.int64)
    for fold, (_, members) in enumerate(StratifiedGroupKFold(10).split(labels, labels, groups)):
        theirs[members] = fold

    def deviation(folds: NDArray[np.int64]) -> float:
        shares = np.stack([np.bincount(labels[folds == fold], minlength=7) for fold in range(10)])
        return float(np.abs(shares / shares.sum(axis=0) - 0.1).mean())

    assert deviation(ours) <= deviation(theirs)
