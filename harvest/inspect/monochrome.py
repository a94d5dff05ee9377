"""Grey and toned pictures."""

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harvest.inspect.base import KEEP, Filter, Measured, Measures, Verdict
from harvest.inspect.picture import Picture, Pixels
from lightmeter.settings import Section

_COLOURED = 12.0  # of 255: a colour, rather than the compression's noise
_SPREAD = 0.1  # of a tone's strength: how far a strong toning strays
_BINS = 64
_LIT = 48  # of 255; what is darker has no colour that one could trust
_CENTRE = 128  # of both chroma components (ITU-R BT.601)


class MonochromeSettings(Section):
    """How much of a picture may have a colour of its own, and how much tone makes a toned picture."""

    max_coloured: float = Field(0.001, ge=0, le=1, description="share of the picture; a small coloured object is more")
    max_grey_chroma: float = Field(
        1.0, ge=0, description="mean distance from grey, of 255, up to which a picture is grey"
    )
    min_tone_chroma: float = Field(5.0, ge=0, description="the same, from which on one tone is a toning")
    min_lit: float = Field(
        0.05, ge=0, le=1, description="share that must be light enough to show a tone; a moon in the night is less"
    )


class Monochrome(Filter[MonochromeSettings]):
    """Drops what has no colours: grey, or one tone (sepia, cyanotype, selenium).

    In a toned picture chroma depends on lightness alone. So each pixel is compared with the usual chroma of its
    lightness; only what differs has a colour of its own. It is done on the reduced picture, where JPEG's chroma noise
    is averaged away.
    """

    name: ClassVar[str] = "monochrome"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "grey and toned pictures"
    Settings = MonochromeSettings

    def measure(self, picture: Picture) -> Measured:
        """Return the mean distance from grey, of 255 (``chroma``), and shares of the pixels."""
        if picture.is_grey:
            return Measured({"chroma": 0.0, "coloured": 0.0, "coloured_beside_tone": 0.0, "lit": 1.0})
        pixels: Pixels = np.asarray(cv2.cvtColor(picture.reduced, cv2.COLOR_RGB2YCrCb), dtype=np.uint8)
        from_grey = _distance(pixels, np.full((256, 2), _CENTRE, dtype=np.uint8))
        tones = _tones(pixels)
        strength = np.hypot(*(tones.astype(np.float32) - _CENTRE).T)
        beside_tone = _distance(pixels, tones) > _COLOURED + _SPREAD * strength[pixels[:, :, 0]]
        return Measured(
            {
                "chroma": float(from_grey.mean()),
                "coloured": float((from_grey > _COLOURED).mean()),
                "coloured_beside_tone": float(beside_tone.mean()),
                "lit": float((pixels[:, :, 0] >= _LIT).mean()),
            }
        )

    def judge(self, measures: Measures, settings: MonochromeSettings) -> Verdict:
        """Drop ``grey`` and ``toned``."""
        chroma = measures["chroma"]
        if chroma <= settings.max_grey_chroma and measures["coloured"] <= settings.max_coloured:
            return Verdict("drop", "grey")
        one_tone = measures["coloured_beside_tone"] <= settings.max_coloured
        if one_tone and chroma >= settings.min_tone_chroma and measures["lit"] >= settings.min_lit:
            return Verdict("drop", "toned")
        return KEEP


def _tones(pixels: Pixels) -> Pixels:
    """Return the median chroma of the lightness that each value of luma belongs to, (256, 2)."""
    tones = np.empty((256, 2), dtype=np.uint8)
    for component in (1, 2):
        counts = cv2.calcHist([pixels], [0, component], None, [_BINS, 256], [0, 256, 0, 256])
        below = np.asarray(counts).cumsum(axis=1)
        median = (below * 2 >= below[:, -1:]).argmax(axis=1).astype(np.uint8)
        tones[:, component - 1] = median.repeat(256 // _BINS)
    return tones


def _distance(pixels: Pixels, tones: Pixels) -> NDArray[np.float32]:
    """Return how far each pixel's chroma is from its lightness's tone, (height, width)."""
    luma = pixels[:, :, 0]
    parts = [cv2.absdiff(cv2.LUT(luma, tones[:, i]), pixels[:, :, i + 1]).astype(np.float32) for i in (0, 1)]
    return np.asarray(cv2.magnitude(*parts), dtype=np.float32)
