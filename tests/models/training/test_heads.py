"""Estimators of linear heads: mixed-effects regression, softmax regression and the selection by folds."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.manifest import label_column, stops_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.models.training.heads.mixed_effects import MixedEffectsRegression, mixed_effects_head
from lightmeter.models.training.heads.probe import choose_by_folds, fit_head, part_scales
from lightmeter.models.training.heads.softmax import (
    HeadData,
    SoftmaxRegression,
    grouped_folds,
    linear_logits,
    reduce_features,
    softmax_data,
)
from lightmeter.models.training.methods import Probe

EXTREMES = TargetSpec("extremes", "1", ("fast", "slow"), (), "log2 s")
SHUTTER = TargetSpec("shutter", "1", ("1/500", "1/60", "1/8"), (-9.0, -6.0, -3.0), "log2 s")
FOCUS = TargetSpec("focus", "1", ("sharp", "soft"))
FOLDS = 4


def probe(**values: Any) -> Probe:
    """Return settings of a probe with mixed-effects regression."""
    defaults = {"method": "probe", "penalties": [1.0, 0.1, 0.01], "folds": FOLDS}
    return Probe(**{**defaults, "random_intercept_variances": [0.0, 1.0], **values})


def photographs(
    *, groups: int, per_group: int, features: int = 5, seed: int = 0, group_effect: float = 0.0
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Return features and manifest rows; the first feature gives the stops, the second only the photographer.

    Args:
        groups: Number of photographers.
        per_group: Photographs of each photographer.
        features: Number of features.
        seed: Random seed.
        group_effect: Difference of a photographer's settings from those that the first feature gives, in stops.
    """
    rng = np.random.default_rng(seed)
    photographer = np.repeat(np.arange(groups), per_group)
    habit = rng.normal(0, 1, groups)[photographer]
    values = rng.normal(0, 1, (len(photographer), features))
    values[:, 1] = habit + rng.normal(0, 0.1, len(photographer))
    signs = rng.choice([-1, 1], groups)[photographer]
    stops = -6 + 2 * values[:, 0] + group_effect * habit * signs + rng.normal(0, 0.3, len(photographer))
    classes = [None if abs(number + 6) < 1 else ("fast" if number < -6 else "slow") for number in stops]
    rows = [
        {
            "group": f"photographer {group}",
            label_column("extremes"): name,
            stops_column("extremes"): None if name is None else number,
            label_column("shutter"): SHUTTER.classes[int(np.abs(np.asarray(SHUTTER.stops) - number).argmin())],
            stops_column("shutter"): number,
            label_column("focus"): "sharp",
        }
        for group, name, number in zip(photographer, classes, stops.tolist(), strict=True)
    ]
    return torch.from_numpy(values), rows


def head_and_data(
    features: Tensor, rows: Any, target: TargetSpec, *others: TargetSpec, **values: Any
) -> tuple[MixedEffectsRegression, HeadData]:
    """Return the estimator and the data of a target in stops."""
    head = mixed_effects_head(features, rows, target, [target, *others], probe(**values))
    assert head is not None
    return head


def fitted(head: MixedEffectsRegression, data: HeadData) -> tuple[MixedEffectsRegression, dict[str, float]]:
    """Return the estimator selected by folds, fitted to all data, and its hyperparameters."""
    selection = choose_by_folds(head, data, FOLDS)
    return selection.estimator.fit(data), selection.hyperparameters


def predictions(head: MixedEffectsRegression, features: Tensor) -> NDArray[np.int64]:
    """Return the predicted class of each photograph."""
    return np.asarray(linear_logits(head.parameters[-1], features).argmax(1))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 3), st.sampled_from([0.001, 0.1, 10.0]))
def test_mixed_effects_weights_equal_generalised_least_squares(seed: int, variance: float, penalty: float) -> None:
    """The reference solution uses the whole covariance matrix of the photographs."""
    features, rows = photographs(groups=6, per_group=4, features=8, seed=seed, group_effect=1.0)
    head, data = head_and_data(features, rows, SHUTTER, penalties=[penalty], random_intercept_variances=[variance])
    head.fit(data)

    x, y = (data.features - data.features.mean(0)).numpy(), data.stops - data.stops.mean()
    same_group = data.groups[:, None] == data.groups[None]
    covariance = np.eye(len(y)) + variance * same_group
    expected = x.T @ np.linalg.solve(x @ x.T + len(y) * penalty * covariance, y)
    assert head.weights[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_logits_follow_from_bayes_theorem() -> None:
    features, rows = photographs(groups=8, per_group=12)
    head, data = head_and_data(features, rows, SHUTTER, class_weights=False)
    selected = choose_by_folds(head, data, FOLDS).estimator
    (density,) = selected.densities
    estimates = np.linspace(-10, -2, 9)

    probabilities = torch.softmax(density.logits(estimates), 1).numpy()

    values = np.exp(-((estimates[:, None] - density.means) ** 2) / (2 * density.variance)) * np.exp(density.prior)
    assert probabilities == pytest.approx(values / values.sum(1, keepdims=True))
    shares = np.bincount(data.classes) / len(data.classes)
    assert np.exp(density.prior) / np.exp(density.prior).sum() == pytest.approx(shares)


def test_linear_parameters_give_the_logits_of_the_density() -> None:
    features, rows = photographs(groups=8, per_group=12)
    head, _ = fitted(*head_and_data(features, rows, SHUTTER))

    (estimates,) = head.outputs(features)

    expected = head.densities[0].logits(estimates[:, 0].numpy())
    assert torch.allclose(linear_logits(head.parameters[0], features), expected)


def test_photographs_between_classes_are_used_if_another_target_has_their_stops() -> None:
    features, rows = photographs(groups=8, per_group=12)

    _, alone = head_and_data(features, rows, EXTREMES)
    _, with_stops = head_and_data(features, rows, EXTREMES, SHUTTER)

    assert (alone.classes >= 0).all()
    assert len(with_stops.indices) == len(rows) > len(alone.indices)
    assert (with_stops.classes == -1).sum() == len(rows) - len(alone.indices)


def test_random_intercept_is_selected_if_photographers_differ() -> None:
    features, rows = photographs(groups=24, per_group=30, group_effect=3.0)
    new_features, new_rows = photographs(groups=24, per_group=30, seed=1)
    truth = np.asarray([{"fast": 0, "slow": 1, None: -1}[row[label_column("extremes")]] for row in new_rows])
    accuracy = {}
    for variance in (0.0, 1.0):
        head, data = head_and_data(features, rows, EXTREMES, SHUTTER, random_intercept_variances=[variance])
        accuracy[variance] = np.mean((predictions(fitted(head, data)[0], new_features) == truth)[truth >= 0])

    selection = choose_by_folds(*head_and_data(features, rows, EXTREMES, SHUTTER), FOLDS)

    assert selection.hyperparameters["random_intercept_variance"] == 1.0
    assert accuracy[1.0] > accuracy[0.0]
    assert {(row["penalty"], row["random_intercept_variance"]) for row in selection.history} == {
        (penalty, variance) for penalty in (1.0, 0.1, 0.01) for variance in (0.0, 1.0)
    }


def test_no_class_is_preferred_if_nothing_can_be_learned() -> None:
    features, rows = photographs(groups=8, per_group=12)
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 1, features.shape))
    selection = choose_by_folds(*head_and_data(noise, rows, EXTREMES, penalties=[1e6]), FOLDS)
    assert np.ptp(selection.logits.numpy(), axis=1) == pytest.approx(0, abs=1e-3)


def test_class_without_photographs_is_never_predicted() -> None:
    features, rows = photographs(groups=8, per_group=12)
    four_classes = TargetSpec("shutter", "1", (*SHUTTER.classes, "2"), (*SHUTTER.stops, 1.0), "log2 s")
    head, _ = fitted(*head_and_data(features, rows, four_classes))
    assert not (predictions(head, features) == 3).any()


@pytest.mark.parametrize("reason", ["no stops", "label without a number", "class without photographs"])
def test_targets_without_stops_have_no_mixed_effects_head(reason: str) -> None:
    features, rows = photographs(groups=4, per_group=6)
    target = FOCUS if reason == "no stops" else EXTREMES
    if reason == "label without a number":
        rows[0] |= {label_column("extremes"): "fast", stops_column("extremes"): None}
    if reason == "class without photographs":
        target = TargetSpec("extremes", "1", ("fast", "slow", "bulb"), (), "log2 s")
    assert mixed_effects_head(features, rows, target, [target], probe()) is None


def test_softmax_regression_is_the_same_in_reduced_dimensions() -> None:
    features, rows = photographs(groups=5, per_group=4, features=40)
    data = softmax_data(features, rows, SHUTTER, probe())
    reduced, restore = reduce_features(data.features)
    assert reduced.shape[1] <= len(rows)
    parameters = torch.randn(3, reduced.shape[1] + 1, dtype=torch.float64)
    expected = reduced @ parameters[:, :-1].T + parameters[:, -1]
    restored = restore(parameters)
    assert torch.allclose(data.features @ restored[:, :-1].T + restored[:, -1], expected)


def test_selected_softmax_regression_repeats_the_selected_fit() -> None:
    features, rows = photographs(groups=8, per_group=12)
    data = softmax_data(features, rows, SHUTTER, probe())
    head = SoftmaxRegression([0.01, 1.0, 0.1]).fit(data)
    assert [candidate["penalty"] for candidate in head.candidates] == [1.0, 0.1, 0.01]
    assert torch.equal(head.select(1).fit(data).parameters[-1], head.parameters[1])


def test_folds_never_divide_a_group() -> None:
    features, rows = photographs(groups=9, per_group=5)
    data = softmax_data(features, rows, SHUTTER, probe())
    held_out = []
    for train, test in grouped_folds(data, FOLDS):
        assert not set(data.groups[train]) & set(data.groups[test])
        held_out += test.tolist()
    assert sorted(held_out) == list(range(len(rows)))


def test_a_part_of_more_strength_is_penalised_less() -> None:
    features, rows = photographs(groups=8, per_group=4, features=4)
    split = {"train": features, "validation": features[:0]}, {"train": rows, "validation": []}
    parts = {"view": [1, 3]}
    equal = fit_head(*split, SHUTTER, [SHUTTER], probe(penalties=[3.0], random_intercept_variances=[0.0]))
    strong = probe(
        penalties=[3.0],
        random_intercept_variances=[0.0],
        part_strengths={"log2 s": {"view": [10.0, 1.0], "means": [1.0]}},
    )
    head = fit_head(*split, SHUTTER, [SHUTTER], strong, parts)
    assert head.final is not None
    assert equal.final is not None
    share = [abs(values[:, 0]).sum() / abs(values[:, :4]).sum() for values in (head.final, equal.final)]
    assert share[0] > share[1]
    scales = part_scales(strong, SHUTTER, parts)
    assert scales is not None
    by_hand = fit_head(
        {"train": features * scales, "validation": features[:0]},
        split[1],
        SHUTTER,
        [SHUTTER],
        probe(penalties=[3.0], random_intercept_variances=[0.0]),
    )
    assert torch.allclose(head.logits, by_hand.logits)
    assert part_scales(strong, FOCUS, parts) is None
    for others, problem in (
        ({}, "its architecture has no parts"),
        ({"deviations": [4]}, "not 1 of them for deviations"),
    ):
        with pytest.raises(UsageError, match=problem):
            fit_head(*split, SHUTTER, [SHUTTER], strong, others)
