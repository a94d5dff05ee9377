"""Grey and toned pictures."""

from itertools import pairwise
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harvest.inspect.base import KEEP, Filter, Measured, Measures, Verdict
from harvest.inspect.picture import Picture
from lightmeter.settings import Section

_COLOURED = 12.0
_BINS = 32
_CENTRE = 128.0


class MonochromeSettings(Section):
    """How much of a picture may have a colour of its own."""

    max_coloured: float = Field(
        0.002, ge=0, le=1, description="fraction of the picture; a small coloured object is more"
    )
    max_chroma: float = Field(
        2.0,
        ge=0,
        description="mean distance from grey (of 255) up to which a picture without colours is grey, not toned",
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
        """Return ``chroma``, ``coloured`` and ``coloured_beside_tone``: a mean distance of 255, two fractions."""
        if picture.is_grey:
            return Measured({"chroma": 0.0, "coloured": 0.0, "coloured_beside_tone": 0.0})
        luma, chroma = _split(picture)
        own = chroma - _tone(luma, chroma)
        distance = np.hypot(chroma[:, 0], chroma[:, 1])
        return Measured(
            {
                "chroma": float(distance.mean()),
                "coloured": float((distance > _COLOURED).mean()),
                "coloured_beside_tone": float((np.hypot(own[:, 0], own[:, 1]) > _COLOURED).mean()),
            }
        )

    def judge(self, measures: Measures, settings: MonochromeSettings) -> Verdict:
        """Drop ``grey`` and ``toned``."""
        if measures["coloured"] <= settings.max_coloured and measures["chroma"] <= settings.max_chroma:
            return Verdict("drop", "grey")
        if measures["coloured_beside_tone"] <= settings.max_coloured:
            return Verdict("drop", "toned")
        return KEEP


def _split(picture: Picture) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return luma as bins (n,) and chroma (n, 2) around zero (ITU-R BT.601)."""
    pixels = np.asarray(cv2.cvtColor(picture.reduced, cv2.COLOR_RGB2YCrCb)).reshape(-1, 3)
    return pixels[:, 0].astype(np.intp) * _BINS // 256, pixels[:, 1:].astype(np.float32) - _CENTRE


def _tone(luma: NDArray[np.intp], chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median chroma of each pixel's lightness, (n, 2)."""
    order = np.argsort(luma, kind="stable")
    edges = np.searchsorted(luma[order], np.arange(_BINS + 1))
    tones = np.zeros((_BINS, 2), dtype=np.float32)
    for index, (start, stop) in enumerate(pairwise(edges)):
        if stop > start:
            tones[index] = np.median(chroma[order[start:stop]], axis=0)
    return np.asarray(tones[luma])
