"""Motion blur: moving objects and camera shake.

An object that moves at v m/s travels v · p · t pixels in t seconds, where p is the number of pixels per metre at its
distance. A camera that rotates at ω rad/s shifts the image by f ω t on the sensor (S. F. Ray, *Applied Photographic
Optics*, Focal Press 2002). Besides drifting, a hand trembles at 8 to 12 Hz (R. N. Stiles, *Journal of Applied
Physiology* 40, 1976, pages 44-54).
"""

import math
from dataclasses import dataclass

import numpy as np

from lightmeter.harvest.simulator.optics import Array


@dataclass(frozen=True)
class CameraShake:
    """Camera shake.

    Attributes:
        drift: Rotation of the camera in radians per second, to the right and down.
        tremor: Amplitude of the tremor in radians, to the right and down.
        frequency_hz: Frequency of the tremor.
        phase: Phase of the tremor, in radians.
    """

    drift: tuple[float, float] = (0.0, 0.0)
    tremor: tuple[float, float] = (0.0, 0.0)
    frequency_hz: float = 9.0
    phase: float = 0.0


TRIPOD = CameraShake()
MAX_PATH_PX = 400.0
"""Longer paths are truncated; objects that move further are barely visible."""


def path(exposure_time_s: float, speed_px: tuple[float, float], shake: CameraShake, px_per_radian: float) -> Array:
    """Return the path of a point during the exposure as a kernel of sum 1, centred at half the time.

    Args:
        exposure_time_s: Exposure time in seconds.
        speed_px: Speed of the object in pixels per second, to the right and down.
        shake: Camera shake.
        px_per_radian: Focal length in pixels.
    """
    count = _samples(exposure_time_s, speed_px, shake, px_per_radian)
    times = ((np.arange(count) + 0.5) / count - 0.5) * exposure_time_s
    wave = np.sin(2 * math.pi * shake.frequency_hz * times + shake.phase) - math.sin(shake.phase)
    points = [
        np.clip(
            times * (speed_px[axis] - shake.drift[axis] * px_per_radian) - shake.tremor[axis] * px_per_radian * wave,
            -MAX_PATH_PX / 2,
            MAX_PATH_PX / 2,
        )
        for axis in (0, 1)
    ]
    return _splat(points[0], points[1])


def _samples(exposure_time_s: float, speed_px: tuple[float, float], shake: CameraShake, px_per_radian: float) -> int:
    """Return the number of points for a path without gaps: four per pixel of its maximum length."""
    speed = math.hypot(*speed_px)
    angular_speed = math.hypot(*shake.drift) + 2 * math.pi * shake.frequency_hz * math.hypot(*shake.tremor)
    return min(4 * MAX_PATH_PX, 4 * exposure_time_s * (speed + angular_speed * px_per_radian)).__ceil__() + 2


def _splat(x: np.ndarray, y: np.ndarray) -> Array:
    """Return a kernel of points, each distributed over the four nearest pixels."""
    across, down = int(np.ceil(np.abs(x).max())) + 1, int(np.ceil(np.abs(y).max())) + 1
    kernel = np.zeros((2 * down + 1, 2 * across + 1), np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            np.add.at(kernel, (top + dy + down, left + dx + across), weight.astype(np.float32))
    return np.asarray(kernel / kernel.sum())
