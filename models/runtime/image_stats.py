"""What a photograph's file is like, in numbers that can be compared with those of the training photographs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...image_statistics import jpeg_quality
from .preprocess import ModelInput

NAMES = ("long_side", "short_side", "jpeg_quality", "colourfulness")
"""Pixels on the longer and the shorter side; libjpeg quality; mean spread of red, green and blue, in levels of 256."""

_EVERY = 4  # pixels, in each direction: enough for a mean


def image_statistics(header: Image.Image, photograph: ModelInput) -> dict[str, float]:
    """Return the traits that a photograph has; only a JPEG has a quality, and only pixels that were cut have colours.

    Args:
        header: the file, opened.
        photograph: what was cut from it.
    """
    quality = jpeg_quality(getattr(header, "quantization", None))
    pictures = [values for name, values in photograph.inputs.items() if name in {"patches", "view"}]
    traits = {
        "long_side": float(max(photograph.width, photograph.height)),
        "short_side": float(min(photograph.width, photograph.height)),
    }
    if quality is not None:
        traits["jpeg_quality"] = float(quality)
    if pictures:
        traits["colourfulness"] = max(_colour(values) for values in pictures)
    return traits


def _colour(values: NDArray[Any]) -> float:
    """Return the mean difference between the greatest and the least of red, green and blue, in levels of 256."""
    channels = values[..., ::_EVERY, ::_EVERY].astype(np.int16)
    return float((channels.max(-3) - channels.min(-3)).mean())
