"""Intervals over groups."""

import numpy as np
import pytest

from lightmeter.bootstrap import (
    Estimate,
    Floats,
    few_groups_warning,
    format_estimate,
    group_histogram,
    group_indices,
    group_intervals,
    group_sums,
    macro_f1,
    paired_intervals,
)


def mean_of(values: Floats, groups: list[int]) -> Estimate:
    """Return the mean of values with its interval over groups."""
    sums, counts = group_sums(groups, values), group_sums(groups, np.ones_like(values))
    return group_intervals(lambda weights: {"mean": weights @ sums / (weights @ counts)}, counts, {"mean": "number"})[
        "mean"
    ]


@pytest.mark.parametrize("count", [10, 40])
def test_interval_of_a_mean_is_that_of_student(count: int) -> None:
    """With groups of one size leaving out groups gives it exactly, resampling nearly."""
    values = np.random.default_rng(0).normal(size=count)
    estimate = mean_of(values, list(range(count)))
    assert estimate["value"] == pytest.approx(values.mean())
    width = {10: 2.262, 40: 2.023}[count] * values.std(ddof=1) / np.sqrt(count)
    tolerance = 1e-3 if count == 10 else 0.05
    assert estimate["high"] - estimate["value"] == pytest.approx(width, rel=tolerance)  # type: ignore[operator]
    assert estimate["value"] - estimate["low"] == pytest.approx(width, rel=tolerance)  # type: ignore[operator]


def test_copies_within_a_group_do_not_narrow_the_interval() -> None:
    values = np.arange(10.0)
    copies = mean_of(np.repeat(values, 100), np.repeat(np.arange(10), 100).tolist())
    assert copies == pytest.approx(mean_of(values, list(range(10))))


@pytest.mark.parametrize(("groups", "trials"), [(3, 200), (5, 200), (10, 200), (20, 600), (50, 200)])
@pytest.mark.parametrize("mean_logit", [1.0, 3.0])
def test_intervals_hold_the_true_accuracy(
    groups: int, trials: int, mean_logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 to 29 photographs a group, whose accuracies differ by a normal deviation of 1 in log odds."""
    monkeypatch.setattr("lightmeter.bootstrap.RESAMPLES", 200)
    accuracies = 1 / (1 + np.exp(-np.random.default_rng(7).normal(mean_logit, 1, 1_000_000)))
    true_accuracy = accuracies.mean()
    random = np.random.default_rng(1)
    held = 0
    for trial in range(trials):
        sizes = random.integers(3, 30, groups)
        hits = random.binomial(sizes, random.choice(accuracies, groups)).astype(float)
        rate = lambda weights, hits=hits, sizes=sizes: {"accuracy": weights @ hits / (weights @ sizes)}  # noqa: E731
        estimate = group_intervals(rate, sizes, seed=trial)["accuracy"]
        assert estimate["low"] is not None
        assert estimate["high"] is not None
        held += estimate["low"] <= true_accuracy <= estimate["high"]
    assert held / trials >= 0.93


@pytest.mark.parametrize("groups", [5, 50])
def test_interval_of_a_distance_can_hold_zero(groups: int) -> None:
    """A vector of pure noise has a positive length, and its distance from zero is not proved."""
    random = np.random.default_rng(0)
    held = 0
    for trial in range(60):
        noise = random.normal(size=(groups, 10))
        vector = lambda weights, noise=noise: {"distance": weights @ noise / weights.sum(1)[:, None]}  # noqa: E731
        estimate = group_intervals(vector, np.ones(groups), {"distance": "distance"}, seed=trial)["distance"]
        assert estimate["low"] is not None
        assert estimate["value"] > 0
        held += estimate["low"] == 0
    assert held >= 55
    shifted = np.random.default_rng(1).normal(size=(groups, 10)) / 10 + 1
    far = group_intervals(
        lambda weights: {"distance": weights @ shifted / weights.sum(1)[:, None]},
        np.ones(groups),
        {"distance": "distance"},
    )["distance"]
    assert far["low"] > 8  # type: ignore[operator]
    assert far["value"] == pytest.approx(10, abs=0.5)


def test_groups_that_are_all_right_do_not_prove_perfection() -> None:
    estimate = group_intervals(lambda weights: {"accuracy": np.ones(len(weights))}, np.full(5, 10))["accuracy"]
    assert (estimate["value"], estimate["high"]) == (1.0, 1.0)
    assert estimate["low"] == pytest.approx(0.025**0.2)


def test_single_group_gives_no_interval() -> None:
    assert mean_of(np.ones(5), [0] * 5) == {"value": 1.0, "low": None, "high": None}


@pytest.mark.parametrize("groups", [3, 30])
def test_undefined_metric_has_no_value(groups: int) -> None:
    estimate = group_intervals(lambda weights: {"x": np.full(len(weights), np.nan)}, np.ones(groups))["x"]
    assert estimate == {"value": None, "low": None, "high": None}
    assert format_estimate(estimate) == "–"


def test_paired_differences_use_the_same_groups() -> None:
    sums = np.arange(8.0)
    difference = paired_intervals(
        lambda weights: {"sum": weights @ sums / weights.sum(1), "only first": weights @ sums},
        lambda weights: {"sum": weights @ (sums + 1) / weights.sum(1)},
        np.ones(8),
    )
    assert difference == {"sum": pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0})}


def test_few_groups_are_warned_of() -> None:
    assert "only 9 groups" in few_groups_warning(9)
    assert "is only 1 group:" in few_groups_warning(1)
    assert not few_groups_warning(10)


def test_groups_become_indices_sums_and_histograms() -> None:
    groups = group_indices(["b", "a", "b"])
    assert groups.tolist() == [1, 0, 1]
    assert group_sums(groups, [[1, 2], [3, 4], [5, 6]]).tolist() == [[3, 4], [6, 8]]
    assert group_histogram(groups, np.asarray([0, 2, 0]), 3).tolist() == [[0, 0, 1], [2, 0, 0]]


def test_macro_f1_ignores_classes_that_neither_occur_nor_are_predicted() -> None:
    counts = [np.asarray(values, np.float64) for values in ([3, 1, 0], [4, 2, 0], [4, 1, 0])]
    assert macro_f1(*counts) == pytest.approx((6 / 8 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("estimate", "percent", "text"),
    [
        (Estimate(value=0.8142, low=0.7089, high=0.8741), True, "81.4 % [70.9, 87.4]"),
        (Estimate(value=1.234, low=1.0, high=2.0), False, "1.23 [1.00, 2.00]"),
        (Estimate(value=0.5, low=None, high=None), True, "50.0 %"),
    ],
)
def test_estimates_are_formatted(estimate: Estimate, *, percent: bool, text: str) -> None:
    assert format_estimate(estimate, percent=percent) == text
