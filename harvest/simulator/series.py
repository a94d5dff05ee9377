"""Controlled series: the same scene again and again, one setting varied and the rest fixed.

The light on the scene follows the setting, as in a studio, so that every photograph is exposed alike: what differs
between two of them is what the setting does to noise, depth of field or motion, and not how bright they are.
"""

from dataclasses import replace
from typing import Literal

from lightmeter.harvest.simulator.light import Settings
from lightmeter.harvest.simulator.photographers import Shot, shot, varied

Varied = Literal["aperture", "iso", "shutter"]

STEPS: dict[Varied, tuple[float, ...]] = {
    "aperture": (2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 22.0),
    "iso": (100, 200, 400, 800, 1600, 3200, 6400),
    "shutter": (1 / 1000, 1 / 500, 1 / 250, 1 / 125, 1 / 60, 1 / 30, 1 / 15, 1 / 8, 1 / 4, 1 / 2),
}
"""What each setting is varied over, in full stops."""

_FIXED = {
    "aperture": Settings(5.6, 1 / 500, 200, 50.0),
    "iso": Settings(5.6, 1 / 500, 200, 50.0),
    "shutter": Settings(8.0, 1 / 125, 200, 50.0),
}


def series_shot(setting: Varied, seed: int, index: int, photographers: int) -> Shot:
    """Return a photograph of a series; the scene changes after each full series.

    Args:
        setting: that is varied.
        seed: of everything else.
        index: number of the photograph; scene by scene, and in each along the setting.
        photographers: how many take turns, a series each.
    """
    steps = STEPS[setting]
    number, step = divmod(index, len(steps))
    base = shot(seed, number, photographers)
    fixed = replace(_FIXED[setting], focal_length_mm=base.settings.focal_length_mm)
    return varied(base, _with(fixed, setting, steps[step]), step)


def _with(fixed: Settings, setting: Varied, value: float) -> Settings:
    if setting == "aperture":
        return replace(fixed, f_number=value)
    if setting == "iso":
        return replace(fixed, iso=int(value))
    return replace(fixed, exposure_time_s=value)
