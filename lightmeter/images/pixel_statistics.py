"""Sharpness, noise and JPEG quality of an image.

Filters and models share these functions, so that both report the same values for a photograph. This module needs numpy
alone and is copied into model archives.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
"""Pixels of one channel, shape (..., height, width); signed integers or floats, since differences are taken."""

# Quantisation of luminance at quality 50 (ITU-T T.81, annex K.1).
_IJG_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


def laplacian(plane: Plane) -> Plane:
    """Return the discrete Laplacian, with the border reflected; the same as ``cv2.Laplacian``.

    Its variance measures sharpness (J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, 2000).
    """
    border = ((0, 0),) * (plane.ndim - 2) + ((1, 1), (1, 1))
    padded = np.pad(plane, border, mode="reflect")
    neighbours = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return np.asarray(neighbours - 4 * plane)


def noise_residual(plane: Plane) -> Plane:
    """Return the second difference across and down of the inner pixels, shape (..., height - 2, width - 2)."""
    rows = plane[..., :-2, :] - 2 * plane[..., 1:-1, :] + plane[..., 2:, :]
    return np.asarray(rows[..., :-2] - 2 * rows[..., 1:-1] + rows[..., 2:])


def noise_sigma(residual: Plane) -> NDArray[np.float64]:
    """Return the standard deviation of the noise in each plane (Immerkær's estimate). Fine texture counts as noise.

    J. Immerkær, Fast noise variance estimation, Computer Vision and Image Understanding 64(2), 1996.

    Args:
        residual: Result of `noise_residual`, shape (..., height, width).

    Returns:
        Shape (...).
    """
    return np.asarray(math.sqrt(math.pi / 2) / 6 * np.abs(residual).mean((-2, -1)))


def jpeg_quality(quantisation: Mapping[int, Sequence[int]] | None) -> int | None:
    """Return the quality, 1 to 100, at which libjpeg writes the nearest luminance table.

    Args:
        quantisation: Quantisation tables by number, as in Pillow's ``image.quantization``.

    Returns:
        The quality; None without a luminance table.
    """
    return _nearest_quality(tuple(quantisation[min(quantisation)])) if quantisation else None


@lru_cache(maxsize=256)
def _nearest_quality(luminance: tuple[int, ...]) -> int | None:
    if len(luminance) != len(_IJG_LUMINANCE):
        return None
    return int(np.abs(_ijg_tables() - np.sort(np.asarray(luminance, dtype=np.int64))).sum(axis=1).argmin()) + 1


@cache
def _ijg_tables() -> NDArray[np.int64]:
    """Return the tables of qualities 1 to 100, shape (100, 64), each sorted to ignore the order of storage."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(((np.sort(_IJG_LUMINANCE) * scale[:, None] + 50) // 100).clip(1, 255), dtype=np.int64)
