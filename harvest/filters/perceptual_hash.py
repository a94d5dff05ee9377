"""A 64-bit perceptual hash, by which `lightmeter.images.hamming` groups near-duplicates.

The hash is the sign pattern of an image's lowest frequencies: the 8 × 8 lowest coefficients of the discrete cosine
transform of the image reduced to 32 × 32, each compared with their median (C. Zauner, Implementation and Benchmarking
of Perceptual Image Hash Functions, 2010, chapter 3.2.1).
"""

from typing import ClassVar

import cv2
import numpy as np

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.geometry import upright
from lightmeter.images.pixels import Pixels
from lightmeter.settings import Section

_SIDE, _FREQUENCIES = 32, 8
_MIN_DEVIATION = 4.0  # of a blank scan with noise and vignetting: up to 4; of the flattest real photographs: 7


class PerceptualHashSettings(Section):
    """The filter ``duplicates`` has no settings."""


class PerceptualHash(Filter[PerceptualHashSettings]):
    """Measures the hash by which near-duplicates are grouped; keeps every photograph."""

    name: ClassVar[str] = "duplicates"
    version: ClassVar[int] = 5
    summary: ClassVar[str] = "64-bit perceptual hash, for near-duplicates"
    Settings = PerceptualHashSettings

    def measure(self, image: DecodedImage) -> Measurement:
        """Return ``phash``: 16 hexadecimal digits, or None for a flat image."""
        value = perceptual_hash(image.reduced, image.orientation)
        return Measurement({"phash": None if value is None else f"{value:016x}"})

    def judge(self, measures: Measures) -> Verdict:
        """Keep."""
        return KEEP


def perceptual_hash(rgb: Pixels, orientation: int = 1) -> int | None:
    """Return the hash of an image in display orientation, so that a rotated copy has the same hash.

    A flat image, such as a black frame or a blank scan, has no hash: all of them would be near-duplicates.

    Args:
        rgb: Pixels in file orientation, of any size, shape (height, width, 3).
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if cv2.meanStdDev(small)[1][0, 0] < _MIN_DEVIATION:
        return None
    shown = np.ascontiguousarray(upright(np.asarray(small, dtype=np.float32), orientation))
    low = np.asarray(cv2.dct(shown))[:_FREQUENCIES, :_FREQUENCIES]
    ordered = np.sort(low, axis=None)
    median = (ordered[ordered.size // 2 - 1] + ordered[ordered.size // 2]) / 2
    return int.from_bytes(np.packbits(low > median).tobytes(), "big")
