"""Synthetic images, and the result of a single filter."""

from typing import Any

import cv2
import numpy as np

from lightmeter.harvest.filters.base import FilterResult
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from tests.support import encode_image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
SIDES = ("left", "top", "right", "bottom")


def synthetic_image(height: int = 240, width: int = 320, seed: int = 0) -> Pixels:
    """Return an image with the spectrum of a photograph: coloured blobs of several sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side, side, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for side in (3, 9, 30)
    ]
    return (sum(layers) / 3 * 200 + 25).clip(0, 255).astype(np.uint8)


def encode_jpeg(pixels: Pixels, quality: int = 85) -> bytes:
    return encode_image(pixels, quality=quality)


def apply_filter(data: bytes, name: str) -> FilterResult:
    """Return the result of a filter with default settings."""
    inspected = inspect(data, InspectionPlan(tuple(load_filters({}, [name]))))
    assert inspected.problem is None
    return inspected.results[name]
