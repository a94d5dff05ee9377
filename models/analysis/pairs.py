"""Order of two photographs of one series by a predicted setting."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lightmeter.bootstrap import Floats, group_indices, group_intervals, group_sums

CHANCE = 0.5

_LEAST_DIFFERENCE = 0.1  # stops; nominal settings differ from exact ones by up to 0.09


def order_of_pairs(
    series: Sequence[str], scenes: Sequence[str], true_stops: Floats, predicted_stops: Floats
) -> dict[str, Any]:
    """Return the share of pairs of photographs whose predictions are in the order of their true settings.

    Pairs are of photographs of one series with different settings; equal predictions count as half.

    Args:
        series: Series of each photograph.
        scenes: Scene of each photograph, the unit of the interval; a series has one scene.
        true_stops: True settings in stops, shape (N,).
        predicted_stops: Predicted settings in stops, shape (N,).

    Returns:
        ``pairs`` and ``scenes`` as numbers, ``in_order`` as an estimate, ``baseline`` of guessing.

    Example:
        >>> result = order_of_pairs(["a"] * 3, ["a"] * 3, np.array([2.0, 4.0, 6.0]), np.array([3.0, 5.0, 4.0]))
        >>> result["pairs"], round(result["in_order"]["value"], 3)
        (3, 0.667)
    """
    indices, numbers = group_indices(series), group_indices(scenes)
    scores, owners = [np.empty(0)], [np.empty(0, np.int64)]
    for number in range(indices.max(initial=-1) + 1):
        members = np.flatnonzero(indices == number)
        true, predicted = (values[members][:, None] - values[members] for values in (true_stops, predicted_stops))
        compared = true > _LEAST_DIFFERENCE
        scores.append((np.sign(predicted[compared]) + 1) / 2)
        owners.append(np.full(int(compared.sum()), numbers[members[0]]))
    score, owner = np.concatenate(scores), np.unique(np.concatenate(owners), return_inverse=True)[1]
    hits, counts = group_sums(owner, score), group_sums(owner, np.ones_like(score))
    if not len(counts):
        return {"pairs": 0, "scenes": 0, "in_order": {"value": None, "low": None, "high": None}, "baseline": CHANCE}
    estimate = group_intervals(lambda weights: {"in_order": weights @ hits / (weights @ counts)}, counts)
    return {"pairs": len(score), "scenes": len(counts), **estimate, "baseline": CHANCE}
