"""Motion while the shutter is open: of things, and of the hand that holds the camera.

A thing that crosses the view at v m/s moves v · p · t pixels in t seconds, p being the pixels that show one metre at
its distance. A camera that turns at ω rad/s moves the whole picture by f ω t on the sensor (S. F. Ray, *Applied
Photographic Optics*, Focal Press 2002). Besides drifting, a hand trembles at 8 to 12 Hz (R. N. Stiles, *Journal of
Applied Physiology* 40, 1976, pages 44-54).
"""

import math
from dataclasses import dataclass

import numpy as np

from lightmeter.harvest.simulator.optics import Array


@dataclass(frozen=True)
class Hand:
    """How steadily a camera is held.

    Attributes:
        drift: radians a second that the camera turns, to the right and down.
        tremor: amplitude of the tremor in radians, to the right and down.
        frequency_hz: of the tremor.
        phase: of the tremor, in radians.
    """

    drift: tuple[float, float] = (0.0, 0.0)
    tremor: tuple[float, float] = (0.0, 0.0)
    frequency_hz: float = 9.0
    phase: float = 0.0


TRIPOD = Hand()
LONGEST_PATH_PX = 400.0
"""What moves further than this while the shutter is open has all but vanished."""


def path(exposure_time_s: float, speed_px: tuple[float, float], hand: Hand, px_per_radian: float) -> Array:
    """Return the path of a point while the shutter is open as a kernel of sum 1, its middle at half the time.

    Args:
        exposure_time_s: how long the shutter is open.
        speed_px: pixels a second that the thing itself moves, to the right and down.
        hand: how the camera is held.
        px_per_radian: focal length in pixels.
    """
    count = _samples(exposure_time_s, speed_px, hand, px_per_radian)
    times = ((np.arange(count) + 0.5) / count - 0.5) * exposure_time_s
    wave = np.sin(2 * math.pi * hand.frequency_hz * times + hand.phase) - math.sin(hand.phase)
    points = [
        np.clip(
            times * (speed_px[axis] - hand.drift[axis] * px_per_radian) - hand.tremor[axis] * px_per_radian * wave,
            -LONGEST_PATH_PX / 2,
            LONGEST_PATH_PX / 2,
        )
        for axis in (0, 1)
    ]
    return _splat(points[0], points[1])


def _samples(exposure_time_s: float, speed_px: tuple[float, float], hand: Hand, px_per_radian: float) -> int:
    """Return how many points make a path without gaps: four a pixel of the longest way it can be."""
    own = math.hypot(*speed_px)
    shake = math.hypot(*hand.drift) + 2 * math.pi * hand.frequency_hz * math.hypot(*hand.tremor)
    return min(4 * LONGEST_PATH_PX, 4 * exposure_time_s * (own + shake * px_per_radian)).__ceil__() + 2


def _splat(x: np.ndarray, y: np.ndarray) -> Array:
    """Return a kernel that each point falls into, shared among the four pixels around it."""
    across, down = int(np.ceil(np.abs(x).max())) + 1, int(np.ceil(np.abs(y).max())) + 1
    kernel = np.zeros((2 * down + 1, 2 * across + 1), np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            share = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            np.add.at(kernel, (top + dy + down, left + dx + across), share.astype(np.float32))
    return np.asarray(kernel / kernel.sum())
