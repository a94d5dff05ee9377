"""Heads of targets in stops: the linear mixed model, and what classes are read off it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import TargetSpec, label_column, stops_column
from lightmeter.models.training.heads.mixed_effects import StopsData, choose_by_folds, fit_stops, stops_task
from lightmeter.models.training.recipe import Probe

EXTREMES = TargetSpec("extremes", "1", ("fast", "slow"), (), "log2 s")
SHUTTER = TargetSpec("shutter", "1", ("1/500", "1/60", "1/8"), (-9.0, -6.0, -3.0), "log2 s")
WORDS = TargetSpec("words", "1", ("sharp", "soft"))


def probe(**values: Any) -> Probe:
    """Return the settings of a probe that asks for regression on stops."""
    return Probe(
        **{
            "method": "probe",
            "penalties": [1.0, 0.1, 0.01],
            "folds": 4,
            "random_intercept_variances": [0.0, 1.0],
            **values,
        }
    )


def photographs(*, groups: int, each: int, features: int = 5, seed: int = 0, own: float = 0.0) -> tuple[Any, Any]:
    """Return features and rows: the first feature says the stops, the second only who took the photograph.

    Args:
        groups: photographers.
        each: photographs of each.
        features: of a photograph.
        seed: of what is drawn.
        own: how far a photographer's settings are from what the first feature says, in stops.
    """
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(groups), each)
    habit = rng.normal(0, 1, groups)[who]
    values = rng.normal(0, 1, (len(who), features))
    values[:, 1] = habit + rng.normal(0, 0.1, len(who))
    stops = -6 + 2 * values[:, 0] + own * habit * rng.choice([-1, 1], groups)[who] + rng.normal(0, 0.3, len(who))
    names = [None if abs(number + 6) < 1 else ("fast" if number < -6 else "slow") for number in stops]
    rows = [
        {
            "group": f"photographer {person}",
            label_column("extremes"): name,
            stops_column("extremes"): None if name is None else number,
            label_column("shutter"): SHUTTER.classes[int(np.abs(np.asarray(SHUTTER.stops) - number).argmin())],
            stops_column("shutter"): number,
            label_column("words"): "sharp",
        }
        for person, name, number in zip(who, names, stops.tolist(), strict=True)
    ]
    return torch.from_numpy(values), rows


def asked(features: Any, rows: Any, target: TargetSpec, *others: TargetSpec, **values: Any) -> StopsData:
    """Return a task that must exist."""
    task = stops_task(features, rows, target, [target, *others], probe(**values))
    assert task is not None
    return task


def answers(parameters: Any, features: Any) -> NDArray[np.int64]:
    """Return what a head says."""
    return np.asarray((features @ parameters[:, :-1].T + parameters[:, -1]).argmax(1))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 3), st.sampled_from([0.001, 0.1, 10.0]))
def test_the_weights_are_those_of_the_mixed_model(seed: int, offset: float, penalty: float) -> None:
    """Solved the long way, with the whole covariance matrix of the photographs."""
    features, rows = photographs(groups=6, each=4, features=8, seed=seed, own=1.0)
    task = asked(features, rows, SHUTTER, penalties=[penalty], random_intercept_variances=[offset])
    choice, _, _ = choose_by_folds(task, probe(penalties=[penalty], random_intercept_variances=[offset]))
    parameters = fit_stops(task, choice).numpy()

    x, y = task.features - task.features.mean(0), task.stops - task.stops.mean()
    together = task.groups[:, None] == task.groups[None]
    covariance = np.eye(len(y)) + offset * together
    weights = x.T @ np.linalg.solve(x @ x.T + len(y) * penalty * covariance, y)
    slopes = choice.scale.means / choice.scale.variance
    expected = (slopes - slopes.mean())[:, None] * weights
    assert parameters[:, :-1] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_head_says_what_bayes_says_of_its_estimate() -> None:
    features, rows = photographs(groups=8, each=12)
    task = asked(features, rows, SHUTTER, class_weights=False)
    choice, _, _ = choose_by_folds(task, probe(class_weights=False))
    scale = choice.scale
    estimates = np.linspace(-10, -2, 9)

    found = torch.softmax(torch.from_numpy(scale.logits(estimates)), 1).numpy()

    density = np.exp(-((estimates[:, None] - scale.means) ** 2) / (2 * scale.variance)) * np.exp(scale.prior)
    assert found == pytest.approx(density / density.sum(1, keepdims=True))
    shares = np.bincount(task.classes) / len(task.classes)
    assert np.exp(scale.prior) / np.exp(scale.prior).sum() == pytest.approx(shares)


def test_photographs_between_the_classes_are_learned_from_if_another_target_knows_them() -> None:
    features, rows = photographs(groups=8, each=12)

    alone, with_stops = asked(features, rows, EXTREMES), asked(features, rows, EXTREMES, SHUTTER)

    assert (alone.classes >= 0).all()
    assert len(with_stops.places) == len(rows) > len(alone.places)
    assert (with_stops.classes == -1).sum() == len(rows) - len(alone.places)


def test_an_offset_is_chosen_where_photographers_have_habits_of_their_own() -> None:
    features, rows = photographs(groups=24, each=30, own=3.0)
    task = asked(features, rows, EXTREMES, SHUTTER)
    unseen, theirs = photographs(groups=24, each=30, seed=1)
    truth = np.asarray([{"fast": 0, "slow": 1, None: -1}[row[label_column("extremes")]] for row in theirs])
    right = {}
    for offset in (0.0, 1.0):
        choice, _, _ = choose_by_folds(task, probe(random_intercept_variances=[offset]))
        right[offset] = np.mean((answers(fit_stops(task, choice), unseen) == truth)[truth >= 0])

    choice, _, tried = choose_by_folds(task, probe())

    assert choice.offset == 1.0
    assert right[1.0] > right[0.0]
    assert {(one["penalty"], one["random_intercept_variance"]) for one in tried} == {
        (penalty, offset) for penalty in (1.0, 0.1, 0.01) for offset in (0.0, 1.0)
    }


def test_where_nothing_can_be_learned_no_class_is_preferred() -> None:
    features, rows = photographs(groups=8, each=12)
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 1, features.shape))
    task = asked(noise, rows, EXTREMES)
    choice, logits, _ = choose_by_folds(task, probe(penalties=[1e6]))
    assert np.ptp(logits, axis=1) == pytest.approx(0, abs=1e-3)
    assert np.isfinite(fit_stops(task, choice).numpy()).all()


def test_a_class_without_photographs_is_hardly_ever_the_answer() -> None:
    features, rows = photographs(groups=8, each=12)
    wide = TargetSpec("shutter", "1", (*SHUTTER.classes, "2"), (*SHUTTER.stops, 1.0), "log2 s")
    task = asked(features, rows, wide)
    choice, _, _ = choose_by_folds(task, probe())
    assert not (answers(fit_stops(task, choice), features) == 3).any()


@pytest.mark.parametrize("wrong", ["words", "by hand", "absent"])
def test_what_is_not_in_stops_is_left_to_softmax(wrong: str) -> None:
    features, rows = photographs(groups=4, each=6)
    target = WORDS if wrong == "words" else EXTREMES
    if wrong == "by hand":
        rows[0] |= {label_column("extremes"): "fast", stops_column("extremes"): None}
    if wrong == "absent":
        target = TargetSpec("extremes", "1", ("fast", "slow", "bulb"), (), "log2 s")
    assert stops_task(features, rows, target, [target], probe()) is None
