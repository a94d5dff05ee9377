"""What a photograph's file is like, in numbers that can be compared with those of the training photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .preprocess import ModelInput

NAMES = ("long_side", "short_side", "jpeg_quality", "colourfulness")
"""Pixels on the longer and the shorter side; libjpeg quality; mean spread of red, green and blue, in levels of 256."""

_EVERY = 4  # pixels, in each direction: enough for a mean

# The luminance table of ITU-T T.81, annex K.1, whose scaling by the libjpeg "quality" is what most programs write.
_STANDARD_SUM = 3688  # of its 64 entries


def image_statistics(header: Image.Image, photograph: ModelInput) -> dict[str, float]:
    """Return the traits that a photograph has; only a JPEG has a quality, and only pixels that were cut have colours.

    Args:
        header: the file, opened.
        photograph: what was cut from it.
    """
    tables: Mapping[int, Sequence[int]] = getattr(header, "quantization", None) or {}
    pictures = [values for name, values in photograph.inputs.items() if name in {"patches", "view"}]
    traits = {
        "long_side": float(max(photograph.width, photograph.height)),
        "short_side": float(min(photograph.width, photograph.height)),
    }
    if tables:
        traits["jpeg_quality"] = float(jpeg_quality(sum(tables[min(tables)])))
    if pictures:
        traits["colourfulness"] = max(_colour(values) for values in pictures)
    return traits


def jpeg_quality(total: int) -> int:
    """Return the libjpeg quality whose luminance table has entries of this sum, from 1 to 100.

    libjpeg scales the standard table by S per cent, S = 200 − 2 q for a quality q of 50 and more, else 5000 / q
    (jcparam.c, ``jpeg_quality_scaling``). Entries end at 255, so below 25 this is a little high.
    """
    percent = 100 * total / _STANDARD_SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(100, max(1, round(quality)))


def _colour(values: NDArray[Any]) -> float:
    """Return the mean difference between the greatest and the least of red, green and blue, in levels of 256."""
    channels = values[..., ::_EVERY, ::_EVERY].astype(np.int16)
    return float((channels.max(-3) - channels.min(-3)).mean())
