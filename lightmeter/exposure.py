"""Exposure arithmetic: nominal values, and settings in stops.

A stop is a factor of two in light. APEX (ANSI PH2.5-1960; Exif 2.32, annex C) counts in stops:
Av = log2(N²) for an f-number N, Tv = −log2(t) for an exposure time t in seconds, Sv = log2(ISO / 3.125).
"""

import math

F_NUMBERS = (
    1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.2, 3.5, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0, 10.0, 11.0,
    13.0, 14.0, 16.0, 18.0, 20.0, 22.0, 25.0, 29.0, 32.0, 36.0, 40.0, 45.0, 51.0, 57.0, 64.0,
)  # fmt: skip
"""Nominal f-numbers in third stops, as lenses and cameras name them (ISO 517 for the full stops)."""


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
    return min(F_NUMBERS, key=lambda nominal: abs(math.log2(nominal / f_number)))
