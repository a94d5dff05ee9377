"""Fits of heads, intervals and saliency against statsmodels, scikit-learn, scipy and captum, on random inputs."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from lightmeter.bootstrap import group_intervals, group_sums
from lightmeter.models.analysis.saliency import METHODS, AttributionRequest
from lightmeter.models.training.heads.mixed_effects import MixedEffectsRegression
from lightmeter.models.training.heads.softmax import HeadData, SoftmaxRegression, hard_targets
from tests.reference.conftest import Compare


def head_data(seed: int, count: int = 90, width: int = 4) -> HeadData:
    """Return random features, stops and classes in groups of very unequal sizes."""
    random = np.random.default_rng(seed)
    groups = np.sort(np.minimum(random.geometric(0.3, count), 8)) - 1
    features = random.normal(size=(count, width)) + groups[:, None] / 3
    stops = features @ random.normal(size=width) + random.normal(size=9)[groups] + random.normal(size=count) + 2
    classes = np.digitize(stops, np.quantile(stops, [0.3, 0.6]))
    truth, weights = hard_targets(classes, 3, class_weights=False)
    return HeadData(torch.from_numpy(features), truth, weights, classes, groups, np.arange(count), stops)


def covariance(groups: NDArray[np.int64], variance: float) -> NDArray[np.float64]:
    """Return the covariance of photographs with a random intercept for each group."""
    return np.eye(len(groups)) + variance * (groups[:, None] == groups[None])


@pytest.mark.parametrize("variance", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_mixed_model_is_generalised_least_squares(seed: int, variance: float, compare: Compare) -> None:
    api = pytest.importorskip("statsmodels.api")
    data = head_data(seed)
    fit = MixedEffectsRegression(np.zeros(2), [0.0], [variance], class_weights=False).fit(data)
    design = api.add_constant(data.features.numpy())
    expected = api.GLS(data.stops, design, sigma=covariance(data.groups, variance)).fit().params
    what = "mixed models of 90 photographs in uneven groups, 3 variances: parameters"
    compare(what, "statsmodels GLS", [*fit.intercepts, *fit.weights[0]], expected, within=1e-8)


@pytest.mark.parametrize("penalty", [0.1, 1.0])
def test_penalised_mixed_model_agrees_with_the_dense_formula(penalty: float, compare: Compare) -> None:
    data = head_data(7)
    fit = MixedEffectsRegression(np.zeros(2), [penalty], [0.7], class_weights=False).fit(data)
    design = np.column_stack([np.ones(len(data.stops)), data.features.numpy()])
    inverse = np.linalg.inv(covariance(data.groups, 0.7))
    ridge = penalty * len(data.stops) * np.diag([0.0, *np.ones(design.shape[1] - 1)])
    expected = np.linalg.solve(design.T @ inverse @ design + ridge, design.T @ inverse @ data.stops)
    what = "mixed models with a penalty: parameters"
    compare(what, "the dense formula", [*fit.intercepts, *fit.weights[0]], expected, within=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_softmax_regression_agrees_with_scikit_learn(seed: int, compare: Compare) -> None:
    data = head_data(seed)
    penalty = 0.05
    (parameters,) = SoftmaxRegression([penalty]).fit(data).parameters
    model = LogisticRegression(C=1 / (penalty * len(data.stops)), tol=1e-8, max_iter=5000)
    model.fit(data.features.numpy(), data.classes)
    logits = data.features.numpy() @ parameters[:, :-1].numpy().T + parameters[:, -1].numpy()
    expected = model.predict_log_proba(data.features.numpy())
    ours = torch.log_softmax(torch.from_numpy(logits), 1).numpy()
    what = "logistic heads of 90 photographs, 3 classes: log probabilities"
    compare(what, "scikit-learn LogisticRegression", ours, expected, within=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_interval_of_equal_groups_agrees_with_scipy(seed: int, compare: Compare) -> None:
    values = np.random.default_rng(seed).normal(size=12)
    sums = group_sums(np.arange(12), values)
    mean = lambda weights: {"mean": weights @ sums / weights.sum(1)}  # noqa: E731
    estimate = group_intervals(mean, np.ones(12), {"mean": "number"})["mean"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = (estimate["low"], estimate["high"])
    what = "intervals of 12 groups of equal size"
    compare(what, "scipy ttest_1samp", interval, (expected.low, expected.high), within=1e-6)


class Squares(nn.Module):
    """Its gradient is the image itself, so that noise of either sign cancels out."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return half the sum of squares as the logit of the first class."""
        half = inputs["view"].flatten(1).square().sum(1) / 2
        return {"iso": torch.stack([half, torch.zeros_like(half)], 1)}


def test_smoothgrad_averages_signed_gradients_and_integrated_gradients_are_complete(compare: Compare) -> None:
    captum = pytest.importorskip("captum.attr")
    image = torch.zeros(1, 3, 24, 24)
    request = AttributionRequest(Squares(), {"view": image}, {"view": image}, "iso", 0)
    smooth = METHODS["smoothgrad"](request).maps["view"]
    assert float(smooth.mean()) < 0.2  # the mean of absolute values would be 0.24 or more in each channel
    image = torch.linspace(-1, 1, 3 * 24 * 24).view(1, 3, 24, 24)
    request = AttributionRequest(Squares(), {"view": image}, {"view": image}, "iso", 0)
    result = METHODS["integrated-gradients"](request)
    (expected,) = captum.IntegratedGradients(request.logits).attribute(request.images, target=0, n_steps=32)
    theirs = expected[0].detach().abs().amax(-3).numpy()
    what = "integrated gradients of an image, 32 steps"
    compare(what, "captum IntegratedGradients", result.maps["view"].numpy(), theirs, within=1e-5)
    assert result.facts["steps"] == 32
    assert result.facts["completeness_error"] < 0.05
