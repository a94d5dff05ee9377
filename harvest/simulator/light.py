"""Light, and the three settings that share it out.

The meter's equation N²/t = L S / K (ISO 2720:1974, 6.1) ties f-number N, exposure time t and speed S to the average
luminance L of a scene; K = 12.5 cd s/m² is the constant that most makers of light meters use. The exposure in the focal
plane is H = q L t / N², in lx s, with q = 0.65 for a usual lens (ISO 12232:2019, annex A).
"""

import math
from dataclasses import dataclass

METER_CONSTANT = 12.5
LENS_CONSTANT = 0.65

EXPOSURE_TIMES = tuple(1 / n for n in (
    2000, 1600, 1250, 1000, 800, 640, 500, 400, 320, 250, 200, 160, 125, 100, 80, 60, 50, 40, 30, 25, 20, 15, 13, 10, 8,
    6, 5, 4, 3, 2.5, 2,
))  # fmt: skip
"""Nominal exposure times in third stops, in seconds, as cameras name them."""

SPEEDS = (
    100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1250, 1600, 2000, 2500, 3200, 4000, 5000, 6400,
)  # fmt: skip
"""Nominal ISO speeds in third stops."""


@dataclass(frozen=True)
class Settings:
    """What a photographer sets.

    Attributes:
        f_number: N, focal length over the diameter of the entrance pupil.
        exposure_time_s: how long the shutter is open.
        iso: speed of the sensor or the film.
        focal_length_mm: of the lens.
    """

    f_number: float
    exposure_time_s: float
    iso: int
    focal_length_mm: float


def metered_luminance(settings: Settings) -> float:
    """Return the average luminance, in cd/m², for which these settings are right: L = K N² / (t S)."""
    return METER_CONSTANT * settings.f_number**2 / (settings.exposure_time_s * settings.iso)


def metered_speed(f_number: float, exposure_time_s: float, luminance: float) -> float:
    """Return the speed that a scene of this luminance needs: S = K N² / (t L)."""
    return METER_CONSTANT * f_number**2 / (exposure_time_s * luminance)


def focal_plane_exposure(settings: Settings) -> float:
    """Return lx s in the focal plane for each cd/m² of the scene: q t / N²."""
    return LENS_CONSTANT * settings.exposure_time_s / settings.f_number**2


def luminance_of_ev(ev: float) -> float:
    """Return the luminance, in cd/m², of an exposure value at ISO 100: L = K 2^EV / 100."""
    return float(METER_CONSTANT * 2.0**ev / 100)


def nominal(value: float, values: tuple[int, ...] = SPEEDS) -> int:
    """Return the nominal value that is nearest in stops."""
    return min(values, key=lambda candidate: abs(math.log2(candidate / value)))
