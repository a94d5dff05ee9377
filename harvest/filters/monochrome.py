"""Grey and toned pictures."""

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage, Pixels
from lightmeter.settings import Section

_COLOURED = 8  # of 255: a colour, rather than the compression's noise
_SPREAD = 0.1  # of a tone's strength: how far a strong toning strays
_BINS = 64
_LIT = 48  # of 255; what is darker has no colour that one could trust
_CENTRE = 128  # of both chroma components (ITU-R BT.601)

Planes = Sequence[cv2.typing.MatLike]


class MonochromeSettings(Section):
    """How much of a picture may have a colour of its own, and how much tone makes a toned picture."""

    max_coloured: float = Field(0.001, ge=0, le=1, description="share of the picture; a small coloured object is more")
    max_grey_chroma: float = Field(
        1.0, ge=0, description="mean distance from grey, of 255, up to which a picture is grey"
    )
    min_tone_chroma: float = Field(6.0, ge=0, description="the same, from which on one tone is a toning")
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
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "grey and toned pictures"
    Settings = MonochromeSettings

    def measure(self, picture: DecodedImage) -> Measurement:
        """Return the mean distance from grey, of 255 (``chroma``), and shares of the pixels."""
        if picture.is_grey:
            return Measurement({"chroma": 0.0, "coloured": 0.0, "coloured_beside_tone": 0.0, "lit": 1.0})
        luma, *chroma = cv2.split(cv2.cvtColor(picture.reduced, cv2.COLOR_RGB2YCrCb))
        tones = _tones(luma, chroma)
        strength = np.abs(tones.astype(np.int16) - _CENTRE).max(axis=0)
        limit = (_COLOURED + _SPREAD * strength).astype(np.uint8)
        from_grey = _distance(chroma, [np.full_like(luma, _CENTRE)] * 2)
        from_tone = _distance(chroma, [cv2.LUT(luma, tone) for tone in tones])
        return Measurement(
            {
                "chroma": cv2.mean(from_grey)[0],
                "coloured": _share(from_grey > _COLOURED),
                "coloured_beside_tone": _share(from_tone > cv2.LUT(luma, limit)),
                "lit": _share(luma >= _LIT),
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


def _tones(luma: cv2.typing.MatLike, chroma: Planes) -> Pixels:
    """Return both components' median chroma of the lightness that each value of luma belongs to, (2, 256)."""
    tones = np.empty((2, 256), dtype=np.uint8)
    for tone, component in zip(tones, chroma, strict=True):
        counts = cv2.calcHist([luma, component], [0, 1], None, [_BINS, 256], [0, 256, 0, 256])
        below = np.asarray(counts).cumsum(axis=1)
        tone[:] = (below * 2 >= below[:, -1:]).argmax(axis=1).repeat(256 // _BINS)
    return tones


def _distance(chroma: Planes, tone: Planes) -> cv2.typing.MatLike:
    """Return each pixel's larger difference in the two components of chroma, (height, width)."""
    red, blue = (cv2.absdiff(here, there) for here, there in zip(chroma, tone, strict=True))
    return cv2.max(red, blue)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask) / mask.size)
