"""Sharpness, light, noise and compression, measured on all pixels as they are stored."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage, Pixels
from lightmeter.settings import Section

_BLOCK = 8
_WINDOW = 1024
_LEAST_STEP = 1e-3
_ROWS_AT_A_TIME = 256
_SECOND = np.array([1.0, -2.0, 1.0])  # second difference; Immerkær's kernel is its product with itself
_IJG_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
"""Quantisation of luminance at quality 50 (ITU-T T.81, annex K.1)."""


class QualitySettings(Section):
    """What counts as worthless. The built-in values drop only pictures that hold nothing.

    Blur and noise are evidence of how a photograph was made: to drop by them is to choose what a model may learn.
    """

    min_contrast: float = Field(2.0, ge=0, description="standard deviation of grey, of 255")
    min_brightness: float = Field(2.0, ge=0, le=255, description="mean grey, of 255")
    max_brightness: float = Field(253.0, ge=0, le=255, description="mean grey, of 255")
    min_sharpness: float = Field(0.0, ge=0, description="variance of the Laplacian")
    max_noise: float = Field(math.inf, ge=0, description="standard deviation of noise, of 255")
    min_side: int = Field(32, ge=1, description="shorter side, in pixels")


class Quality(Filter[QualitySettings]):
    """Drops what is blank, black, white or tiny; sharpness and noise only if asked."""

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "sharpness, brightness, contrast, noise, JPEG quality"
    Settings = QualitySettings

    def measure(self, picture: DecodedImage) -> Measurement:
        """Return the measures of `light`, `texture` and `compression`."""
        grey = picture.grey
        measures = light(grey) | texture(grey) | {"short_side": min(picture.width, picture.height)}
        measures |= {"jpeg_quality": jpeg_quality(picture.quantisation), "blockiness": blockiness(grey)}
        sigma = measures["noise_sigma"]
        measures["snr_db"] = (
            20 * math.log10(measures["brightness"] / sigma) if sigma and measures["brightness"] else None
        )
        return Measurement(measures)

    def judge(self, measures: Measures, settings: QualitySettings) -> Verdict:
        """Drop with the first reason that holds."""
        reasons = {
            "tiny": measures["short_side"] < settings.min_side,
            "black": measures["brightness"] < settings.min_brightness,
            "white": measures["brightness"] > settings.max_brightness,
            "blank": measures["contrast"] < settings.min_contrast,
            "blurred": (measures["laplacian_variance"] or 0.0) < settings.min_sharpness,
            "noisy": (measures["noise_sigma"] or 0.0) > settings.max_noise,
        }
        return next((Verdict("drop", reason) for reason, holds in reasons.items() if holds), KEEP)


def light(grey: Pixels) -> dict[str, float]:
    """Return mean (``brightness``), root mean square (``rms_brightness``) and standard deviation (``contrast``).

    These are ``mean``, ``rms`` and ``stddev`` of Pillow's ``ImageStat`` on mode ``L``.
    """
    means, deviations = cv2.meanStdDev(grey)
    mean, deviation = float(means[0, 0]), float(deviations[0, 0])
    return {"brightness": mean, "rms_brightness": math.hypot(mean, deviation), "contrast": deviation}


def texture(grey: Pixels) -> dict[str, float | None]:
    """Return ``laplacian_variance`` and ``noise_sigma``, of 255.

    The first is ``cv2.Laplacian(grey, cv2.CV_64F).var()`` (J. L. Pech-Pacheco et al., Diatom autofocusing in
    brightfield microscopy, 2000), summed over strips in integers, which is exact. The second is Immerkær's: the mean
    of |I ∗ N|, with N the difference of two Laplacians, times √(π/2)/6 (J. Immerkær, Fast noise variance estimation,
    Computer Vision and Image Understanding 64(2), 1996). Fine texture counts as noise in it.
    """
    height, width = grey.shape
    if min(height, width) < 3:
        return {"laplacian_variance": None, "noise_sigma": None}
    total = square = deviation = 0.0
    for top in range(0, height, _ROWS_AT_A_TIME):
        bottom = min(top + _ROWS_AT_A_TIME, height)
        strip = grey[max(0, top - 1) : min(height, bottom + 1)]
        own = slice(top - max(0, top - 1), top - max(0, top - 1) + bottom - top)
        laplacian = np.asarray(cv2.Laplacian(strip, cv2.CV_16S))[own]
        mean, spread = cv2.meanStdDev(laplacian)
        total += float(mean[0, 0]) * laplacian.size
        square += (float(spread[0, 0]) ** 2 + float(mean[0, 0]) ** 2) * laplacian.size
        inner = np.asarray(cv2.sepFilter2D(strip, cv2.CV_16S, _SECOND, _SECOND))[1:-1, 1:-1]
        deviation += float(cv2.norm(inner, cv2.NORM_L1)) if inner.size else 0.0
    variance = max(0.0, square / grey.size - (total / grey.size) ** 2)
    sigma = deviation / ((height - 2) * (width - 2)) * math.sqrt(math.pi / 2) / 6
    return {"laplacian_variance": variance, "noise_sigma": sigma}


def blockiness(grey: Pixels) -> float | None:
    """Return how much larger steps are across the borders of 8 × 8 blocks than within; 1 for no blocks.

    After Z. Wang, A. C. Bovik, B. L. Evans, Blind measurement of blocking artifacts in images, 2000, but in pixels: the
    mean absolute difference across borders over that between the columns (and rows) three before them. It looks at the
    picture's middle, 1,024 px square.
    """
    top, left = (max(0, (side - _WINDOW) // 2) // _BLOCK * _BLOCK for side in grey.shape)
    window = grey[top : top + _WINDOW, left : left + _WINDOW]
    if min(window.shape) < 2 * _BLOCK:
        return None
    ratios = [_step(side, _BLOCK) / _step(side, _BLOCK - 3) for side in (window, window.T)]
    return sum(ratios) / 2


def _step(grey: NDArray[np.uint8], column: int) -> float:
    """Return the mean absolute difference across every eighth boundary of columns, never zero."""
    right = grey[:, column::_BLOCK].astype(np.int16)
    left = grey[:, column - 1 :: _BLOCK][:, : right.shape[1]]
    return float(np.abs(right - left).mean()) + _LEAST_STEP


def jpeg_quality(quantisation: Mapping[int, Sequence[int]]) -> int | None:
    """Return the quality, 1 to 100, at which the Independent JPEG Group's library makes the nearest luminance table."""
    if not quantisation:
        return None
    table = np.sort(np.asarray(quantisation[min(quantisation)], dtype=np.int64))
    if len(table) != len(_IJG_LUMINANCE):
        return None
    return int(np.abs(_ijg_tables() - table).sum(axis=1).argmin()) + 1


@cache
def _ijg_tables() -> NDArray[np.int64]:
    """Return the 100 tables, (100, 64), each sorted, so that the order of storage does not matter."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(((np.sort(_IJG_LUMINANCE) * scale[:, None] + 50) // 100).clip(1, 255), dtype=np.int64)
