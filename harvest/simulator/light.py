"""Luminance, exposure and camera settings.

The meter's equation N²/t = L S / K (ISO 2720:1974, 6.1) ties f-number N, exposure time t and speed S to the average
luminance L of a scene; most light meters use the constant K = 12.5 cd s/m². The exposure in the focal plane is
H = q L t / N², in lx s, with q = 0.65 for a typical lens (ISO 12232:2019, annex A).
"""

import math
from dataclasses import dataclass

from lightmeter.exposure import NOMINAL_ISOS

METER_CONSTANT = 12.5
LENS_CONSTANT = 0.65

EXPOSURE_TIMES = tuple(1 / n for n in (
    2000, 1600, 1250, 1000, 800, 640, 500, 400, 320, 250, 200, 160, 125, 100, 80, 60, 50, 40, 30, 25, 20, 15, 13, 10, 8,
    6, 5, 4, 3, 2.5, 2,
))  # fmt: skip
"""Exposure times in third stops, in seconds."""

ISOS = tuple(int(iso) for iso in NOMINAL_ISOS if 100 <= iso <= 6400)
"""Nominal ISO speeds in third stops."""


@dataclass(frozen=True)
class Settings:
    """Camera settings.

    Attributes:
        f_number: Focal length divided by the diameter of the entrance pupil.
        exposure_time_s: Exposure time in seconds.
        iso: Speed of the sensor or film.
        focal_length_mm: Focal length of the lens.
    """

    f_number: float
    exposure_time_s: float
    iso: int
    focal_length_mm: float


def metered_luminance(settings: Settings) -> float:
    """Return the average luminance, in cd/m², that these settings expose correctly: L = K N² / (t S)."""
    return METER_CONSTANT * settings.f_number**2 / (settings.exposure_time_s * settings.iso)


def metered_iso(f_number: float, exposure_time_s: float, luminance: float) -> float:
    """Return the ISO that exposes a luminance, in cd/m², correctly: S = K N² / (t L)."""
    return METER_CONSTANT * f_number**2 / (exposure_time_s * luminance)


def focal_plane_exposure(settings: Settings) -> float:
    """Return the focal-plane exposure in lx s per cd/m² of the scene: q t / N²."""
    return LENS_CONSTANT * settings.exposure_time_s / settings.f_number**2


def luminance_from_ev(ev: float) -> float:
    """Return the luminance, in cd/m², of an exposure value at ISO 100: L = K 2^EV / 100."""
    return float(METER_CONSTANT * 2.0**ev / 100)


def nominal_iso(value: float) -> int:
    """Return the nearest nominal ISO, in stops."""
    return min(ISOS, key=lambda candidate: abs(math.log2(candidate / value)))
