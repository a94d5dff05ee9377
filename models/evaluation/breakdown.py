"""Figures within each source and each camera."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PARTS, _LEAST_PART = 15, 5  # how many, and how many photographs each

Breakdown = dict[str, dict[str, dict[str, Any]]]


def breakdown(
    rows: Sequence[Mapping[str, Any]], figures_of: Callable[[NDArray[np.bool_]], Mapping[str, Any]]
) -> Breakdown:
    """Return the figures of each ``source`` and ``camera`` that has photographs enough, most photographs first.

    Args:
        rows: of ``predictions.parquet``.
        figures_of: gives the figures of the photographs that a mask of shape (N,) chooses.
    """
    return {
        "source": _parts([row["source"] or "unknown" for row in rows], figures_of),
        "camera": _parts([_camera(row) for row in rows], figures_of),
    }


def _parts(
    parts: Sequence[str], figures_of: Callable[[NDArray[np.bool_]], Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    named = np.asarray(parts, dtype=object).astype(str)
    names, counts = np.unique(named, return_counts=True)
    return {
        str(names[index]): {"photographs": int(counts[index]), **figures_of(named == names[index])}
        for index in np.argsort(-counts, kind="stable")[:_PARTS]
        if counts[index] >= _LEAST_PART
    }


def _camera(row: Mapping[str, Any]) -> str:
    return " ".join(part for part in (row["make"], row["model"]) if part) or "unknown"
