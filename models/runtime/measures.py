"""Measures of image quality: brightness, contrast, colour, sharpness and noise.

They are computed on tiles at native resolution, since resizing would change sharpness and noise.
"""

import numpy as np
from numpy.typing import NDArray

from ...images.pixel_statistics import laplacian, noise_residual, noise_sigma

Floats = NDArray[np.float32]

NAMES = (
    "brightness", "contrast", "dark_percentile", "light_percentile", "share_black", "share_white", "saturation",
    "colour_spread", "sharpness_low", "sharpness_median", "sharpness_high", "noise_low", "noise_median", "noise_high",
    "noise_of_dark", "noise_of_light", "colour_noise", "grain_size", "gradient_across", "gradient_down",
)  # fmt: skip
"""Names of the measures, in order."""

_FLOOR = 0.05  # levels of 255, below which differences are rounding errors
_BLACK, _WHITE = 5, 250


def measure(tiles: NDArray[np.uint8]) -> Floats:
    """Return the measures of a photograph, shape (len(NAMES),).

    Args:
        tiles: Tiles of the photograph, shape (K, 3, S, S).
    """
    red, green, blue = (tiles[:, channel].astype(np.float32) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    highest, lowest = tiles.max(1).astype(np.float32), tiles.min(1).astype(np.float32)
    residual = noise_residual(luma)
    noise = noise_sigma(residual)
    order = np.argsort(luma.mean((1, 2)))
    third = max(1, len(order) // 3)
    values = [
        luma.mean() / 255,
        luma.std() / 255,
        *np.percentile(luma, (5, 95)) / 255,
        (luma < _BLACK).mean(),
        (luma > _WHITE).mean(),
        ((highest - lowest) / np.maximum(highest, 1)).mean(),
        (red - blue).std() / 255,
        *_logs(np.percentile(laplacian(luma).var((1, 2)), (10, 50, 90))),
        *_logs(np.percentile(noise, (10, 50, 90))),
        *_logs(np.asarray([np.median(noise[order[:third]]), np.median(noise[order[-third:]])])),
        *_logs(np.asarray([np.percentile(noise_sigma(noise_residual(red - luma)), 10)])),
        _grain(residual),
        *_logs(np.asarray([np.abs(np.diff(luma, axis=2)).mean(), np.abs(np.diff(luma, axis=1)).mean()])),
    ]
    return np.asarray(values, np.float32)


def _grain(residual: Floats) -> float:
    """Return the correlation of neighbouring residuals: high for grain and denoised noise, low for sensor noise."""
    correlation = (residual[:, :, 2:] * residual[:, :, :-2]).mean()
    return float(correlation / (np.square(residual).mean() + _FLOOR))


def _logs(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.log(values + _FLOOR))
