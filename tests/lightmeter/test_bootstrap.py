"""Bootstrap intervals over groups."""

import numpy as np
import pytest

from lightmeter.bootstrap import (
    Estimate,
    Floats,
    bootstrap,
    format_estimate,
    group_histogram,
    group_indices,
    group_sums,
    macro_f1,
    paired_bootstrap,
)


def mean_of(values: Floats, groups: list[int]) -> dict[str, Estimate]:
    """Return the mean of values with its interval over groups."""
    sums, counts = group_sums(groups, values), group_sums(groups, np.ones_like(values))
    return bootstrap(lambda weights: {"mean": weights @ sums / (weights @ counts)}, len(sums))


def test_bootstrap_returns_the_metric_and_an_interval_around_it() -> None:
    estimate = mean_of(np.arange(10.0), list(range(10)))["mean"]
    assert estimate["value"] == 4.5
    assert estimate["low"] == pytest.approx(2.7, abs=0.3)
    assert estimate["high"] == pytest.approx(6.3, abs=0.3)


def test_copies_within_a_group_do_not_narrow_the_interval() -> None:
    values = np.arange(10.0)
    copies = mean_of(np.repeat(values, 100), np.repeat(np.arange(10), 100).tolist())
    assert copies["mean"] == pytest.approx(mean_of(values, list(range(10)))["mean"])


def test_single_group_gives_no_interval() -> None:
    estimate = mean_of(np.ones(5), [0] * 5)["mean"]
    assert estimate == {"value": 1.0, "low": None, "high": None}


def test_undefined_metric_has_no_value() -> None:
    estimate = bootstrap(lambda weights: {"undefined": np.full(len(weights), np.nan)}, n_groups=3)["undefined"]
    assert estimate == {"value": None, "low": None, "high": None}
    assert format_estimate(estimate) == "–"


def test_paired_differences_use_the_same_groups() -> None:
    sums = np.arange(8.0)
    difference = paired_bootstrap(
        lambda weights: {"sum": weights @ sums, "only first": weights @ sums},
        lambda weights: {"sum": weights @ (sums + 1)},
        n_groups=8,
    )
    assert difference == {"sum": {"value": 8.0, "low": 8.0, "high": 8.0}}


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
