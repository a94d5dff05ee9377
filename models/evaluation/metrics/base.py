"""Interface that the predictions of single-label and multilabel targets share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from numpy import bool_
from numpy.typing import NDArray

from lightmeter.bootstrap import Estimate, Floats, Ints, bootstrap, paired_bootstrap

Mask = NDArray[bool_]


@dataclass(frozen=True)
class BaselinePredictions:
    """Predictions about N photographs that do not depend on the images.

    Attributes:
        labels: Predicted classes, shape (N, C).
        scores: Scores by which photographs are ranked, shape (N, C).
        stops: Predicted setting in stops, shape (N,); None if the baseline predicts no setting.
    """

    labels: Mask
    scores: Floats
    stops: Floats | None = None


class TargetPredictions(Protocol):
    """Predictions about one target and its true classes.

    Attributes:
        truth: True classes, one row per photograph.
        groups: Index of each photograph's group, shape (N,).
        breakdown_metrics: Metrics that are reported for each source and camera.
    """

    breakdown_metrics: ClassVar[Sequence[str]]

    @property
    def truth(self) -> NDArray[Any]:
        """True classes, one row per photograph."""

    @property
    def groups(self) -> Ints:
        """Index of each photograph's group, shape (N,)."""

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return each metric under group weights of shape (D, G), shape (D,)."""

    def subset(self, rows: NDArray[Any]) -> Self:
        """Return the predictions of some photographs, given as mask or indices."""

    def replaced_by(self, baseline: BaselinePredictions) -> Self:
        """Return a baseline's predictions about the same photographs."""

    def details(self) -> dict[str, Any]:
        """Return counts and scores by class, and the reliability curve, as in ``metrics.json``."""


def estimates(predictions: TargetPredictions, seed: int = 0) -> dict[str, Estimate]:
    """Return every metric of the predictions with its 95 % interval."""
    return bootstrap(predictions.metrics, n_groups(predictions), seed)


def estimated_differences(reference: TargetPredictions, other: TargetPredictions, seed: int = 0) -> dict[str, Estimate]:
    """Return how every metric differs from a reference's on the same photographs, with its 95 % interval."""
    return paired_bootstrap(reference.metrics, other.metrics, n_groups(reference), seed)


def n_groups(predictions: TargetPredictions) -> int:
    """Return the number of groups."""
    return int(predictions.groups.max(initial=-1)) + 1
