"""Intervals in stops from the probabilities of classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INTERVAL_SHARE = 0.9
"""Share of photographs whose setting a prediction's interval is to hold."""


class StopsDistribution:
    """Distribution of a setting in stops that the probabilities of its classes describe.

    The probability of a class is spread evenly over its bin, which reaches halfway to the neighbouring classes.

    Args:
        probabilities: Probability of each class, with sum 1.
        stops: Centre of each of two or more classes, in any order.

    Example:
        >>> distribution = StopsDistribution([0.0, 1.0, 0.0], [0.0, 1.0, 2.0])
        >>> [round(bound, 2) for bound in distribution.central(0.8)]
        [0.6, 1.4]
        >>> round(distribution.median(), 2), round(distribution.share(0.5, 1.0), 2)
        (1.0, 0.5)
    """

    def __init__(self, probabilities: Sequence[float] | NDArray[np.float64], stops: Sequence[float]) -> None:
        order = np.argsort(stops)
        centres = np.asarray(stops, np.float64)[order]
        halves = np.diff(centres) / 2
        outer = [centres[0] - halves[0]], [centres[-1] + halves[-1]]
        self._edges = np.concatenate([outer[0], centres[:-1] + halves, outer[1]])
        cumulative = np.concatenate([[0.0], np.cumsum(np.asarray(probabilities, np.float64)[order])])
        self._cumulative = cumulative / cumulative[-1]

    def central(self, share: float = INTERVAL_SHARE) -> tuple[float, float]:
        """Return the bounds between which the central share of the distribution lies."""
        low, high = np.interp([(1 - share) / 2, (1 + share) / 2], self._cumulative, self._edges)
        return float(low), float(high)

    def median(self) -> float:
        """Return the value with as much probability below as above, whose mean absolute error is the least."""
        return self.central(0.0)[0]

    def share(self, low: float, high: float) -> float:
        """Return the probability between two bounds."""
        below = np.interp([low, high], self._edges, self._cumulative)
        return float(below[1] - below[0])
