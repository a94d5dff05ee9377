"""Grey and toned photographs."""

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.pixels import Pixels
from lightmeter.settings import Section

_COLOURED = 8  # of 255: difference in chroma that is a colour and not compression noise
_SPREAD = 0.1  # tolerance, as a fraction of a tone's strength
_BINS = 64
_LIT = 48  # of 255: darker pixels have no reliable colour
_CENTRE = 128  # neutral value of both chroma components (ITU-R BT.601)

Planes = Sequence[cv2.typing.MatLike]


class MonochromeSettings(Section):
    """Settings of the filter ``monochrome``."""

    max_coloured: float = Field(0.001, ge=0, le=1, description="maximum fraction of coloured pixels")
    max_grey_chroma: float = Field(1.0, ge=0, description="maximum mean chroma of a grey photograph, of 255")
    min_tone_chroma: float = Field(6.0, ge=0, description="minimum mean chroma of a toned photograph, of 255")
    min_lit: float = Field(0.05, ge=0, le=1, description="minimum fraction of pixels that are light enough for a tone")


class Monochrome(Filter[MonochromeSettings]):
    """Drops photographs without colours: grey, or of one tone (sepia, cyanotype, selenium).

    A tone too faint to tell from a scene without colours is kept, with the reason ``faint tone``.

    In a toned photograph chroma depends on lightness alone. Each pixel is therefore compared with the median chroma of
    its lightness; only pixels that differ are coloured. The measures are taken on the reduced image, where JPEG chroma
    noise is averaged out.
    """

    name: ClassVar[str] = "monochrome"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "grey and toned photographs"
    Settings = MonochromeSettings

    def measure(self, image: DecodedImage) -> Measurement:
        """Return the mean distance from grey, of 255 (``chroma``), and fractions of the pixels."""
        if image.is_grey:
            return Measurement({"chroma": 0.0, "coloured": 0.0, "coloured_beside_tone": 0.0, "lit": 1.0})
        luma, *chroma = cv2.split(cv2.cvtColor(image.reduced, cv2.COLOR_RGB2YCrCb))
        tones, neutral = _tones(luma, chroma), np.full_like(luma, _CENTRE)
        strength = np.abs(tones.astype(np.int16) - _CENTRE).max(axis=0)
        tolerance = (_COLOURED + _SPREAD * strength).astype(np.uint8)
        from_grey = _distance(chroma, [neutral, neutral])
        from_tone = _distance(chroma, [cv2.LUT(luma, tone) for tone in tones])
        return Measurement(
            {
                "chroma": cv2.mean(from_grey)[0],
                "coloured": np.count_nonzero(from_grey > _COLOURED) / luma.size,
                "coloured_beside_tone": np.count_nonzero(from_tone > cv2.LUT(luma, tolerance)) / luma.size,
                "lit": np.count_nonzero(luma >= _LIT) / luma.size,
            }
        )

    def judge(self, measures: Measures) -> Verdict:
        """Drop with the reason ``grey`` or ``toned``; keep with the reason ``faint tone``."""
        settings, chroma = self.settings, measures["chroma"]
        if chroma <= settings.max_grey_chroma and measures["coloured"] <= settings.max_coloured:
            return Verdict("drop", "grey")
        one_tone = measures["coloured_beside_tone"] <= settings.max_coloured
        if not one_tone or measures["lit"] < settings.min_lit:
            return KEEP
        return Verdict("drop", "toned") if chroma >= settings.min_tone_chroma else Verdict("keep", "faint tone")


def _tones(luma: cv2.typing.MatLike, chroma: Planes) -> Pixels:
    """Return the median of both chroma components for each luma value that occurs, shape (2, 256)."""
    tones = np.empty((2, 256), dtype=np.uint8)
    for tone, component in zip(tones, chroma, strict=True):
        low, high = (int(level) for level in cv2.minMaxLoc(component)[:2])
        levels = high + 1 - low
        counts = cv2.calcHist([component, luma], [0, 1], None, [levels, _BINS], [low, high + 1, 0, 256])
        cumulative = np.diff(cv2.integral(counts))[1:]  # along the levels; four times as fast as cumsum
        below = np.add.reduce(cumulative * 2 < cumulative[-1], axis=0, dtype=np.uint8)
        tone[:] = (below + np.uint8(low)).repeat(256 // _BINS)
    return tones


def _distance(chroma: Planes, tone: Planes) -> cv2.typing.MatLike:
    """Return the larger difference of the two chroma components for each pixel, shape (height, width)."""
    red, blue = (cv2.absdiff(component, reference) for component, reference in zip(chroma, tone, strict=True))
    return cv2.max(red, blue)
