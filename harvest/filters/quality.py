"""Sharpness, brightness, noise and compression, measured on all pixels at native resolution."""

import math
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.pixel_statistics import jpeg_quality
from lightmeter.images.pixels import Pixels
from lightmeter.settings import Section

_BLOCK = 8
_STEPS = (_BLOCK, _BLOCK - 3)  # lines whose step from the line before is compared: at a border and within a block
_WINDOW = 1024
_MIN_STEP = 1e-3
_STRIP_PIXELS = 1 << 17  # a strip fits into the processor's cache


class QualitySettings(Section):
    """Settings of the filter ``quality``. The defaults drop only images without content.

    Blur and noise are evidence of how a photograph was made: dropping by them selects what a model can learn.
    """

    min_contrast: float = Field(2.0, ge=0, description="minimum standard deviation of grey, of 255")
    min_brightness: float = Field(2.0, ge=0, le=255, description="minimum mean grey, of 255")
    max_brightness: float = Field(253.0, ge=0, le=255, description="maximum mean grey, of 255")
    min_sharpness: float = Field(0.0, ge=0, description="minimum variance of the Laplacian")
    max_noise: float = Field(math.inf, ge=0, description="maximum standard deviation of noise, of 255")
    min_side: int = Field(32, ge=1, description="minimum shorter side, in pixels")


class Quality(Filter[QualitySettings]):
    """Drops blank, black, white and tiny images; blurred and noisy ones only if the settings ask for it."""

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "sharpness, brightness, contrast, noise, JPEG quality"
    Settings = QualitySettings

    def measure(self, image: DecodedImage) -> Measurement:
        """Return brightness, contrast, sharpness, noise, size and compression; None where an image is too small."""
        grey = image.grey
        sharpness, sigma = sharpness_and_noise(grey) if min(grey.shape) > 2 else (None, None)
        measures = brightness_and_contrast(grey)
        brightness = measures["brightness"]
        measures |= {
            "laplacian_variance": sharpness,
            "noise_sigma": sigma,
            "short_side": min(image.width, image.height),
            "jpeg_quality": jpeg_quality(image.quantisation),
            "blockiness": blockiness(grey),
            "snr_db": 20 * math.log10(brightness / sigma) if sigma and brightness else None,
        }
        return Measurement(measures)

    def judge(self, measures: Measures) -> Verdict:
        """Drop with the first reason that applies."""
        settings = self.settings
        reasons = {
            "tiny": measures["short_side"] < settings.min_side,
            "black": measures["brightness"] < settings.min_brightness,
            "white": measures["brightness"] > settings.max_brightness,
            "blank": measures["contrast"] < settings.min_contrast,
            "blurred": (measures["laplacian_variance"] or 0.0) < settings.min_sharpness,
            "noisy": (measures["noise_sigma"] or 0.0) > settings.max_noise,
        }
        return next((Verdict("drop", reason) for reason, applies in reasons.items() if applies), KEEP)


def brightness_and_contrast(grey: Pixels) -> dict[str, Any]:
    """Return mean (``brightness``), root mean square (``rms_brightness``) and standard deviation (``contrast``).

    These equal ``mean``, ``rms`` and ``stddev`` of Pillow's ``ImageStat`` on mode ``L``.
    """
    means, deviations = cv2.meanStdDev(grey)
    mean, deviation = float(means[0, 0]), float(deviations[0, 0])
    return {"brightness": mean, "rms_brightness": math.hypot(mean, deviation), "contrast": deviation}


def sharpness_and_noise(grey: Pixels) -> tuple[float, float]:
    """Return the variance of the Laplacian and the standard deviation of the noise.

    The values are those of `laplacian` and ``noise_sigma`` of `lightmeter.images.pixel_statistics`, summed over strips.

    Args:
        grey: Shape (height, width), both at least 3.
    """
    height, width = grey.shape
    padded = cv2.copyMakeBorder(grey, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    rows = max(2, _STRIP_PIXELS // width)
    squares = deviation = 0.0
    for top in range(0, height, rows):
        strip = padded[top : top + rows + 2]
        squares += _squared_laplacian(strip.astype(np.int16))
        residual = cv2.Sobel(strip, cv2.CV_16S, 2, 2)  # second difference across and down
        first, last = (2 if top == 0 else 1), (-2 if top + rows >= height else -1)
        deviation += cv2.norm(residual[first:last, 2:-2], cv2.NORM_L1) if len(residual) > first - last else 0.0
    total = _sum_of_second_differences(grey) + _sum_of_second_differences(grey.T)
    variance = squares / grey.size - (total / grey.size) ** 2
    return max(0.0, variance), deviation / ((height - 2) * (width - 2)) * math.sqrt(math.pi / 2) / 6


def blockiness(grey: Pixels) -> float | None:
    """Return the ratio of steps across the borders of 8 × 8 blocks to steps within blocks; 1 without blocks.

    After Z. Wang, A. C. Bovik, B. L. Evans, Blind measurement of blocking artifacts in images, 2000, but in pixels: the
    mean absolute difference across borders over that between the columns (and rows) three before them, in the central
    1,024 px square of the image.
    """
    top, left = (max(0, (side - _WINDOW) // 2) // _BLOCK * _BLOCK for side in grey.shape)
    window = grey[top : top + _WINDOW, left : left + _WINDOW]
    if min(window.shape) < 2 * _BLOCK:
        return None
    across = cv2.reduce(cv2.absdiff(window[:, 1:], window[:, :-1]), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    columns = (across[first - 1 :: _BLOCK] for first in _STEPS)
    rows = ((window[first::_BLOCK], window[first - 1 :: _BLOCK]) for first in _STEPS)
    across_means = [int(steps.sum()) / (len(steps) * len(window)) for steps in columns]
    down_means = [cv2.norm(line, before[: len(line)], cv2.NORM_L1) / line.size for line, before in rows]
    ratios = ((border + _MIN_STEP) / (within + _MIN_STEP) for border, within in (across_means, down_means))
    return sum(ratios) / 2


def _squared_laplacian(strip: NDArray[np.int16]) -> float:
    """Return the sum of squares of the Laplacian of the inner pixels; ``cv2.Laplacian`` takes twice as long.

    Args:
        strip: Grey with another pixel on each side; its content is lost.
    """
    neighbours = cv2.add(strip[:-2, 1:-1], strip[2:, 1:-1])
    for columns in (strip[1:-1, :-2], strip[1:-1, 2:]):
        cv2.add(neighbours, columns, dst=neighbours)
    strip *= 4
    return cv2.norm(neighbours, strip[1:-1, 1:-1], cv2.NORM_L2SQR)


def _sum_of_second_differences(grey: Pixels) -> int:
    """Return the sum of the second differences across of all pixels, whose border is reflected.

    Only the lines at the ends contribute; those of all others cancel each other out.
    """
    first, second, last_but_one, last = grey[:, [0, 1, -2, -1]].sum(axis=0, dtype=np.int64).tolist()
    return int(second - first + last_but_one - last)
