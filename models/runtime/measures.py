"""Measures of a photograph's quality: brightness, contrast, sharpness, noise. What a person would first think of.

They are taken from tiles at native resolution, since resizing would change sharpness and noise.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NAMES = (
    "brightness", "contrast", "dark_percentile", "light_percentile", "share_black", "share_white", "saturation",
    "colour_spread", "sharpness_low", "sharpness_median", "sharpness_high", "noise_low", "noise_median", "noise_high",
    "noise_of_dark", "noise_of_light", "colour_noise", "grain_size", "gradient_across", "gradient_down",
)  # fmt: skip
"""What each measure is, in order."""

_FLOOR = 0.05  # of 255: below it differences are rounding
_BLACK, _WHITE = 5, 250


def measure(tiles: NDArray[np.uint8]) -> Floats:
    """Return the measures of a photograph.

    Args:
        tiles: shape (K, 3, S, S).

    Returns:
        Shape (len(NAMES),).
    """
    red, green, blue = (tiles[:, channel].astype(np.float32) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    most, least = tiles.max(1).astype(np.float32), tiles.min(1).astype(np.float32)
    noise = _noise(luma)
    order = np.argsort(luma.mean((1, 2)))
    third = max(1, len(order) // 3)
    found = [
        luma.mean() / 255,
        luma.std() / 255,
        *np.percentile(luma, (5, 95)) / 255,
        (luma < _BLACK).mean(),
        (luma > _WHITE).mean(),
        ((most - least) / np.maximum(most, 1)).mean(),
        (red - blue).std() / 255,
        *_logs(np.percentile(_laplacian(luma).var((1, 2)), (10, 50, 90))),
        *_logs(np.percentile(noise, (10, 50, 90))),
        *_logs(np.asarray([np.median(noise[order[:third]]), np.median(noise[order[-third:]])])),
        *_logs(np.asarray([np.percentile(_noise(red - luma), 10)])),
        _grain(luma),
        *_logs(np.asarray([np.abs(np.diff(luma, axis=2)).mean(), np.abs(np.diff(luma, axis=1)).mean()])),
    ]
    return np.asarray(found, np.float32)


def _laplacian(luma: Floats) -> Floats:
    """Return the discrete Laplacian, whose variance falls with blur (J. L. Pech-Pacheco et al., ICPR 2000)."""
    inner = luma[:, 1:-1, 1:-1]
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    return np.asarray(around - 4 * inner)


def _noise(plane: Floats) -> Floats:
    """Return each tile's noise (J. Immerkær, "Fast noise variance estimation", CVIU 64(2), 1996)."""
    return np.asarray(np.sqrt(np.pi / 2) / 6 * np.abs(_residual(plane)).mean((1, 2)), np.float32)


def _residual(plane: Floats) -> Floats:
    rows = plane[:, :-2] - 2 * plane[:, 1:-1] + plane[:, 2:]
    return np.asarray(rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:])


def _grain(luma: Floats) -> float:
    """Return how alike the residuals of neighbouring pixels are: grain and denoised noise are, sensor noise is not."""
    residual = _residual(luma)
    across = (residual[:, :, 2:] * residual[:, :, :-2]).mean()
    return float(across / (np.square(residual).mean() + _FLOOR))


def _logs(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.log(values + _FLOOR))
