"""Calibration: temperature scaling, reliability curves and expected calibration error (ECE).

Guo et al. 2017, arXiv:1706.04599.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lightmeter.bootstrap import Floats, Ints, group_histogram
from lightmeter.models.runtime.predictor import calibrated

TEMPERATURES = (0.2, 20.0)
"""Lowest and highest temperature: a small validation split without an error would otherwise give a temperature of 0."""

_BINS = 10


def fit_temperature(logits: NDArray[np.float32], truth: Ints) -> float:
    """Return the temperature that maximises the likelihood of the true classes.

    Args:
        logits: Logits, shape (N, C).
        truth: Index of the true class, shape (N,).
    """
    values = logits.astype(np.float64)
    true = values[np.arange(len(truth)), truth]
    return _bisect(lambda temperature: ((calibrated(logits, temperature) * values).sum(1) - true).mean() > 0)


def fit_multilabel_temperature(logits: NDArray[np.float32], truth: Floats) -> float:
    """Return the temperature that maximises the likelihood of the true classes, one for all classes.

    Args:
        logits: Logits, shape (N, C).
        truth: 1 for each class of the photograph, else 0, shape (N, C).
    """
    values = logits.astype(np.float64)
    return _bisect(lambda temperature: ((calibrated(logits, temperature, multilabel=True) - truth) * values).mean() > 0)


def log_losses(probabilities: Floats) -> Floats:
    """Return the log loss for the probability of each true class; a probability of zero has the loss of 2e-16."""
    return np.asarray(-np.log(np.maximum(probabilities, np.finfo(np.float64).eps)))


def reliability_curve(confidence: Floats, correct: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return mean confidence and accuracy in each of ten confidence bins that hold photographs."""
    bins = _bin_indices(confidence)
    return [
        {
            "photographs": int((bins == index).sum()),
            "confidence": float(confidence[bins == index].mean()),
            "accuracy": float(correct[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]


def calibration_gaps(groups: Ints, confidence: Floats, correct: NDArray[np.bool_]) -> Floats:
    """Return the sum of (correct − confidence) by group and confidence bin, shape (G, bins)."""
    return group_histogram(groups, _bin_indices(confidence), _BINS, correct - confidence)


def calibration_error_vector(gaps: Floats, count: Floats) -> Floats:
    """Return the share of each confidence bin in the ECE, shape (D, bins).

    The ECE, the mean gap between accuracy and confidence over the bins, is the sum of their absolute values.

    Args:
        gaps: Weighted sums of `calibration_gaps` over groups, shape (D, bins).
        count: Weighted number of predictions, shape (D,).
    """
    return np.asarray(gaps / count[:, None])


def _bisect(overconfident: Callable[[float], bool]) -> float:
    """Return the temperature above which a model is no longer overconfident.

    The likelihood has one maximum in 1/T. A model is overconfident if the expected logit exceeds the true class's.
    """
    low, high = TEMPERATURES
    while high / low > 1 + 1e-6:
        middle = float(np.sqrt(low * high))
        if overconfident(middle):
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))


def _bin_indices(confidence: Floats) -> Ints:
    return np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
