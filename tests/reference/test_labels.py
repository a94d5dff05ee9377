"""Agreement, groups and splits against reference libraries, on random inputs."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedGroupKFold

from lightmeter.labels.annotations.agreement import cohen_kappa, fleiss_kappa
from lightmeter.labels.datasets.components import connect
from lightmeter.labels.datasets.splits.stratify import count_classes, stratified_group_split
from tests.reference.conftest import Compare


@pytest.mark.parametrize("seed", range(10))
def test_cohen_kappa_equals_scikit_learn(seed: int, compare: Compare) -> None:
    random = np.random.default_rng(seed)
    n_classes = int(random.integers(2, 6))
    first = random.integers(n_classes, size=300)
    second = np.where(random.random(300) < 0.6, first, random.integers(n_classes, size=300))
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (first, second), 1)
    what = "Cohen's kappa of 300 labels by two annotators, 2 to 5 classes"
    expected = cohen_kappa_score(first, second)
    compare(what, "scikit-learn cohen_kappa_score", cohen_kappa(confusion), expected, within=1e-12)


def test_kappa_of_one_class_is_one() -> None:
    assert cohen_kappa(np.array([[5, 0], [0, 0]])) == 1
    assert fleiss_kappa(np.array([[3, 0], [3, 0]]), np.ones(2, dtype=np.int64)) == 1


def test_fleiss_kappa_equals_a_published_example(compare: Compare) -> None:
    """Fourteen annotators, ten subjects and five classes; kappa is 0.210."""
    counts = "0 0 0 0 14|0 2 6 4 2|0 0 3 5 6|0 3 9 2 0|2 2 8 1 1|7 7 0 0 0|3 2 6 3 0|2 5 3 2 2|6 5 2 1 0|0 2 2 3 7"
    table = np.array([[int(number) for number in row.split()] for row in counts.split("|")])
    kappa = fleiss_kappa(table, np.ones(10, dtype=np.int64))
    what = "Fleiss' kappa of 14 annotators, 10 subjects, 5 classes"
    compare(what, "a published example, rounded to 0.210", kappa, 0.210, within=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_fleiss_kappa_equals_statsmodels(seed: int, compare: Compare) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    random = np.random.default_rng(seed)
    counts = random.multinomial(5, random.dirichlet(np.ones(4)), size=50)
    expected = inter_rater.fleiss_kappa(counts)
    kappa = fleiss_kappa(counts, np.ones(50, dtype=np.int64))
    what = "Fleiss' kappa of 5 annotators, 50 subjects, 4 classes"
    compare(what, "statsmodels fleiss_kappa", kappa, expected, within=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_groups_equal_the_components_of_networkx(seed: int, compare: Compare) -> None:
    networkx = pytest.importorskip("networkx")
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    keys = {
        kind: (random.integers(count, size=size), random.integers(30, size=size))
        for kind, size in (("owner", int(random.integers(40))), ("body", int(random.integers(40))))
    }
    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    for kind, (rows, values) in keys.items():
        graph.add_edges_from((row, (kind, value)) for row, value in zip(rows.tolist(), values.tolist(), strict=True))
    components = [
        {node for node in nodes if isinstance(node, int)}
        for nodes in networkx.connected_components(graph)
        if any(isinstance(node, int) for node in nodes)
    ]
    groups = connect(count, keys)
    ours = [min(np.flatnonzero(groups == group)) for group in groups]
    theirs = [min(next(nodes for nodes in components if row in nodes)) for row in range(count)]
    what = "groups of a split, random graphs of up to 59 photographs: first photograph of each group"
    compare(what, "networkx connected_components", ours, theirs, within=0)


@pytest.mark.parametrize("seed", range(10))
def test_folds_are_stratified_as_well_as_those_of_scikit_learn(seed: int, compare: Compare) -> None:
    random = np.random.default_rng(seed)
    groups = np.unique(random.zipf(1.8, 400) % int(random.integers(20, 60)), return_inverse=True)[1]
    labels = random.integers(3, size=400)
    names = [f"g{number}" for number in range(int(groups.max()) + 1)]
    counts = count_classes(groups, labels, (len(names), 3))
    ours = stratified_group_split(counts, [0.2] * 5, names, seed)[groups]
    theirs = np.zeros(400, dtype=np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
        theirs[test] = fold
    what = "stratification of 5 folds, 400 photographs, Zipf groups: chi-square beyond theirs"
    surplus = max(0, _deviation(ours, labels) - _deviation(theirs, labels))
    compare(what, "scikit-learn StratifiedGroupKFold", surplus, 0, within=0.1 * _deviation(theirs, labels) + 1)


def _deviation(folds: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return chi-square of the classes by fold."""
    table = np.zeros((5, 3))
    np.add.at(table, (folds, labels), 1)
    expected = np.bincount(labels) / 5
    return float(((table - expected) ** 2 / expected).sum())
