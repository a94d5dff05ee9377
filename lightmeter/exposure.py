"""Exposure arithmetic: nominal values, and settings in stops.

A stop is a factor of two in light. APEX (ANSI PH2.5-1960; Exif 2.32, annex C) counts in stops:
Av = log2(N²) for an f-number N, Tv = −log2(t) for an exposure time t in seconds, Sv = log2(ISO / 3.125).
"""

import math
from collections.abc import Sequence

NOMINAL_F_NUMBERS = (
    1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.2, 3.5, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0, 10.0, 11.0,
    13.0, 14.0, 16.0, 18.0, 20.0, 22.0, 25.0, 29.0, 32.0, 36.0, 40.0, 45.0, 51.0, 57.0, 64.0,
)  # fmt: skip
"""Nominal f-numbers in third stops, as lenses and cameras name them (ISO 517 for the full stops)."""


NOMINAL_EXPOSURE_TIMES_S = (
    *(1 / n for n in (
        32000, 25600, 20000, 16000, 12800, 10000, 8000, 6400, 5000, 4000, 3200, 2500, 2000, 1600, 1250, 1000, 800, 640,
        500, 400, 320, 250, 200, 160, 125, 100, 80, 60, 50, 40, 30, 25, 20, 15, 13, 10, 8, 6, 5, 4,
    )),
    0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 15.0, 20.0, 25.0, 30.0,
)  # fmt: skip
"""Nominal exposure times in third stops, in seconds, as cameras name them; longer ones are timed, not named."""

NOMINAL_ISOS = tuple(
    float(step * scale)
    for scale, steps in (
        (1, (25, 32, 40, 50, 64, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800)),
        (100, (10, 12.5, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640, 800, 1024)),
        (100, (1280, 1600, 2048, 2560, 3200, 4096)),
    )
    for step in steps
)
"""Nominal exposure indices in third stops (ISO 12232, as cameras continue the series)."""

_BEYOND_STOPS = 0.5  # from the last of a series, within which a value still counts as it


def f_number_from_apex(av: float) -> float:
    """Return N = 2^(Av/2)."""
    return float(2.0 ** (av / 2.0))


def exposure_time_from_apex(tv: float) -> float:
    """Return t = 2^−Tv, in seconds."""
    return float(2.0**-tv)


def aperture_stops(f_number: float) -> float:
    """Return Av = 2 log2 N."""
    return 2.0 * math.log2(f_number)


def shutter_stops(exposure_time_s: float) -> float:
    """Return log2 of the exposure time in seconds (−Tv): a longer time is a larger number."""
    return math.log2(exposure_time_s)


def iso_stops(iso: float) -> float:
    """Return log2(ISO / 100), the stops above ISO 100."""
    return math.log2(iso / 100.0)


def nominal_f_number(f_number: float) -> float:
    """Return the nominal f-number nearest in stops."""
    return _nearest(NOMINAL_F_NUMBERS, f_number)


def nominal_settings(
    f_number: float | None = None, exposure_time_s: float | None = None, iso: float | None = None
) -> dict[str, float | None]:
    """Return settings as cameras name them, to the third of a stop; None beyond the ends of a series."""
    return {
        "f_number": _named(NOMINAL_F_NUMBERS, f_number),
        "exposure_time_s": _named(NOMINAL_EXPOSURE_TIMES_S, exposure_time_s),
        "iso": _named(NOMINAL_ISOS, iso),
    }


def _named(series: Sequence[float], value: float | None) -> float | None:
    if value is None:
        return None
    nearest = _nearest(series, value)
    return nearest if abs(math.log2(nearest / value)) <= _BEYOND_STOPS else None


def _nearest(series: Sequence[float], value: float) -> float:
    return min(series, key=lambda nominal: abs(math.log2(nominal / value)))
