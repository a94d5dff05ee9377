"""Bars for the numbers of a target: as wide as settings lie apart, so that none is empty for that alone."""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

_STEPS = {"mm": 5.0}
_THIRD = 1 / 3  # of a stop: how far apart cameras' settings are


def edges(numbers: Sequence[float] | NDArray[np.float64], unit: str, most: int) -> NDArray[np.float64]:
    """Return the edges of at most so many bars, a third of a stop (or 5 mm) or a multiple of that wide.

    Settings lie in the middle of the narrowest bars.

    Args:
        numbers: at least one.
        unit: of the target.
        most: bars.
    """
    step = _STEPS.get(unit, _THIRD)
    low, high = floor(min(numbers) / step + 0.5), floor(max(numbers) / step + 0.5)
    together = ceil((high - low + 1) / most)
    bars = ceil((high - low + 1) / together)
    return (low - 0.5 + together * np.arange(bars + 1)) * step
