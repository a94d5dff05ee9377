"""Camera settings: stops, nominal values, parsing and formatting.

A stop is a factor of two in light. APEX (ANSI PH2.5-1960; Exif 2.32, annex C) counts in stops:
Av = log2(N²) for an f-number N, Tv = −log2(t) for an exposure time t in seconds, Sv = log2(ISO / 3.125).
This module needs the standard library alone and is copied into model archives.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from numbers import Rational, Real

NOMINAL_F_NUMBERS = (
    1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.2, 3.5, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0, 10.0, 11.0,
    13.0, 14.0, 16.0, 18.0, 20.0, 22.0, 25.0, 29.0, 32.0, 36.0, 40.0, 45.0, 51.0, 57.0, 64.0,
)  # fmt: skip
"""Nominal f-numbers in third stops, as marked on lenses and cameras (ISO 517 for the full stops)."""


NOMINAL_EXPOSURE_TIMES_S = (
    *(1 / n for n in (
        32000, 25600, 20000, 16000, 12800, 10000, 8000, 6400, 5000, 4000, 3200, 2500, 2000, 1600, 1250, 1000, 800, 640,
        500, 400, 320, 250, 200, 160, 125, 100, 80, 60, 50, 40, 30, 25, 20, 15, 13, 10, 8, 6, 5, 4,
    )),
    0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 15.0, 20.0, 25.0, 30.0,
)  # fmt: skip
"""Nominal exposure times in third stops, in seconds. Longer exposures have no nominal values."""

NOMINAL_ISOS = tuple(
    float(step * scale)
    for scale, steps in (
        (1, (25, 32, 40, 50, 64, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800)),
        (100, (10, 12.5, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640, 800, 1024)),
        (100, (1280, 1600, 2048, 2560, 3200, 4096)),
    )
    for step in steps
)
"""Nominal exposure indices in third stops (ISO 12232, continued as cameras do)."""

_MAX_NOMINAL_DISTANCE = 0.5  # stops between a value and the end of a nominal series
_MAX_STOPS = 64.0
_DIAGONAL_35MM = math.hypot(36.0, 24.0)  # millimetres
_MAX_TEXT_LENGTH = 200
_MAX_ITEMS = 16
MIN_DECIMAL_TIME_S = 0.3
"""Exposure times below it are written as fractions, in seconds."""

_NUMBER = r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?"
_FRACTION = re.compile(rf"({_NUMBER}) ?(?:/ ?({_NUMBER}))?", re.ASCII)
_BRACKETED_FRACTION = re.compile(rf"\( ?({_NUMBER} ?/ ?{_NUMBER})", re.ASCII)
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d|,))", re.ASCII)
_THOUSANDS = re.compile(r"(?:(?<=/)|(?<=/ ))(\d{1,3}),(\d{3})(?!\d)", re.ASCII)  # in the denominator of a time
_F_SIGN = re.compile(r"^[fF] ?/? ?")
_UNIT = re.compile(r" ?([a-z\"'′″]{0,16})\.?(?: ?[(\[].*)?", re.IGNORECASE | re.DOTALL)  # and a remark in brackets
_VULGAR_FRACTION = re.compile("([¼½¾⅐-⅞])")
_SPELLINGS = str.maketrans({
    "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/", "\N{FULLWIDTH SOLIDUS}": "/", "÷": "/", "ƒ": "f",
    "\N{MINUS SIGN}": "-", "″": '"', "′": "'", "µ": "u", "\N{GREEK SMALL LETTER MU}": "u",
})  # fmt: skip
NEUTRAL_UNITS: Mapping[str, float] = dict.fromkeys(
    ("", "mm", "s", "sec", "secs", "second", "seconds", '"', "″", "ev", "iso", "asa"), 1.0
)
"""Units that EXIF counts in, as programs write them."""

TIME_UNITS: Mapping[str, float] = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds", '"', "″"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "'", "′"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("us", "usec"), 1e-6),
}
"""Units of exposure times, in seconds."""

LENGTH_UNITS: Mapping[str, float] = {"": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Units of focal lengths, in millimetres."""
_FORMATS = {
    "f_number": "f/{}",
    "exposure_time_s": "{} s",
    "iso": "ISO {}",
    "focal_length_mm": "{} mm",
    "focal_length_35mm": "{} mm",
}


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


_SETTING_FROM_STOPS: Mapping[str, Callable[[float], float]] = {
    "Av": f_number_from_apex,
    "log2 s": lambda stops: exposure_time_from_apex(-stops),
    "log2 (ISO / 100)": lambda stops: 100 * 2.0**stops,
    "log2 mm": lambda stops: 2.0**stops,
}


_COLUMN_OF_UNIT = {
    "Av": "f_number",
    "log2 s": "exposure_time_s",
    "log2 (ISO / 100)": "iso",
    "log2 mm": "focal_length_mm",
}


def is_stop_unit(unit: str) -> bool:
    """Return whether a target's unit counts stops."""
    return unit in _SETTING_FROM_STOPS


def setting_from_stops(stops: float, unit: str) -> float | None:
    """Return the f-number, exposure time in seconds, ISO or focal length in millimetres of a number of stops.

    Args:
        stops: Stops in the target's unit; of a focal length, its logarithm to base 2.
        unit: Unit of the target: ``Av``, ``log2 s``, ``log2 (ISO / 100)`` or ``log2 mm``.

    Returns:
        The setting; None for any other unit, and beyond ±64 stops.

    Example:
        >>> setting_from_stops(4.0, "Av")
        4.0
    """
    return _SETTING_FROM_STOPS[unit](stops) if is_stop_unit(unit) and abs(stops) <= _MAX_STOPS else None


def angle_of_view(focal_length_35mm: float) -> float:
    """Return the diagonal angle of view in degrees of a 35-mm-equivalent focal length in millimetres.

    Example:
        >>> round(angle_of_view(50.0), 1)
        46.8
    """
    return math.degrees(2 * math.atan(_DIAGONAL_35MM / (2 * focal_length_35mm)))


def nominal_settings(
    f_number: float | None = None, exposure_time_s: float | None = None, iso: float | None = None
) -> dict[str, float | None]:
    """Return the nearest nominal settings in third stops; None beyond the ends of a series."""
    return {
        "f_number": _nominal(NOMINAL_F_NUMBERS, f_number),
        "exposure_time_s": _nominal(NOMINAL_EXPOSURE_TIMES_S, exposure_time_s),
        "iso": _nominal(NOMINAL_ISOS, iso),
    }


def format_setting(column: str, value: float) -> str:
    """Format a setting as photographers write it.

    Args:
        column: EXIF column, such as ``f_number`` or ``exposure_time_s``.
        value: Value in the column's unit.

    Example:
        >>> format_setting("f_number", 5.6), format_setting("exposure_time_s", 0.0125)
        ('f/5.6', '1/80 s')
        >>> format_setting("iso", 400.0), format_setting("focal_length_mm", 50.0)
        ('ISO 400', '50 mm')
    """
    if column == "exposure_time_s" and 0 < value < MIN_DECIMAL_TIME_S:
        return f"1/{1 / value:.0f} s"
    return _FORMATS.get(column, "{}").format(f"{value:.2g}" if value < 10 else f"{value:.0f}")


def format_number(value: float, unit: str) -> str:
    """Return a number in a target's unit as photographers write it, such as ``f/2.8`` for 3 Av.

    Example:
        >>> format_number(3.0, "Av"), format_number(-8.0, "log2 s"), format_number(50.0, "mm")
        ('f/2.8', '1/250 s', '50 mm')
    """
    if not is_stop_unit(unit):
        return f"{value:g} {unit}".strip()
    column, setting = _COLUMN_OF_UNIT[unit], setting_from_stops(value, unit)
    if setting is None:
        return ""
    nominal = nominal_settings(**{column: setting}).get(column) if column != "focal_length_mm" else setting
    return format_setting(column, nominal or setting)


def parse_number(value: object, units: Mapping[str, float] = NEUTRAL_UNITS) -> float | None:
    """Return the finite number that an EXIF value holds, in any of its usual notations.

    Args:
        value: A number; a rational; a pair (numerator, denominator); text such as ``28/10``, ``f/2.8``, ``50.0 mm``,
            ``5,6`` or ``0.002 sec (1/640)`` (where the exact fraction is used); or a list in which only the first item
            is not zero. Text is truncated before parsing.
        units: Factors of the units that may follow the number in text.

    Returns:
        The number, or None if there is none, or if anything but a unit or a remark in brackets follows it.
    """
    number = None
    match value:
        case bool():
            pass
        case Rational() | Real():
            number = _finite(value)
        case bytes():
            number = _number_from_text(value[:_MAX_TEXT_LENGTH].decode("latin-1"), units)
        case str():
            number = _number_from_text(value, units)
        case [int(numerator), int(denominator)]:
            number = _quotient(numerator, denominator)
        case [first, *rest] if all(parse_number(item) == 0 for item in rest[:_MAX_ITEMS]):
            number = parse_number(first, units)
    return number


@lru_cache(maxsize=10_000)  # of a catalogue's photographs few settings differ
def _nominal(series: tuple[float, ...], value: float | None) -> float | None:
    if value is None:
        return None
    nearest = min(series, key=lambda nominal: abs(math.log2(nominal / value)))
    return nearest if abs(math.log2(nearest / value)) <= _MAX_NOMINAL_DISTANCE else None


def _number_from_text(text: str, units: Mapping[str, float]) -> float | None:
    text = text[:_MAX_TEXT_LENGTH]
    if not text.isascii():  # ¼ is 1⁄4, but 1½ is not 11⁄2
        text = unicodedata.normalize("NFKC", _VULGAR_FRACTION.sub(r" \1", text.translate(_SPELLINGS))).translate(
            _SPELLINGS
        )
    text = " ".join(text.strip("\0 \t\r\n").split())
    fraction = _BRACKETED_FRACTION.search(text)
    if fraction:
        text = fraction[1]
    text = _DECIMAL_COMMA.sub(".", _THOUSANDS.sub(r"\1\2", _F_SIGN.sub("", text, count=1)), count=1)
    match = _FRACTION.match(text)
    if match is None:
        return None
    rest = text[match.end() :].strip()
    if rest.startswith(","):
        return parse_number([match[0], *rest[1:].split(",")], units)
    unit = _UNIT.fullmatch(rest)
    factor = units.get(unit[1].lower()) if unit else None
    number = _quotient(float(match[1]), float(match[2] or 1))
    return None if number is None or factor is None else number * factor


def _quotient(numerator: float, denominator: float) -> float | None:
    try:
        return _finite(numerator / denominator)
    except (ZeroDivisionError, OverflowError):
        return None


def _finite(value: Rational | Real | float) -> float | None:
    try:
        number = float(value)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None
