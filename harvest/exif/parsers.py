"""Numbers, times and words as sources write them: each parser returns one form, or None for what is not credible.

Text is cut before it is parsed, so that hostile values cost nothing.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from lightmeter.exposure import exposure_time_from_apex, f_number_from_apex, parse_number

PLAUSIBLE_F_NUMBERS = (0.5, 512.0)
PLAUSIBLE_EXPOSURE_TIMES_S = (1e-6, 86_400.0)
PLAUSIBLE_ISOS = (1.0, 10_000_000.0)
PLAUSIBLE_FOCAL_LENGTHS_MM = (0.1, 20_000.0)
PLAUSIBLE_YEARS = (1826, 2100)  # from the first photograph

_LONGEST = 200
_MOST_ITEMS = 16
_MOST_STOPS = 64  # of an APEX value; 2 to a higher power means nothing
_ISO_TOO_LARGE_FOR_ITS_FIELD = 65_535
_FLASH_BITS = 0xFFFF
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+")
_DATE = re.compile(
    r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)(?:[T ]+(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_OFFSET = re.compile(r"Z|[+-](?:0\d|1[0-4]):?[0-5]\d", re.ASCII)

_ORIENTATIONS = {
    "horizontal (normal)": 1, "mirror horizontal": 2, "rotate 180": 3, "mirror vertical": 4,
    "mirror horizontal and rotate 270 cw": 5, "rotate 90 cw": 6, "mirror horizontal and rotate 90 cw": 7,
    "rotate 270 cw": 8,
    "top-left": 1, "top-right": 2, "bottom-right": 3, "bottom-left": 4,
    "left-top": 5, "right-top": 6, "right-bottom": 7, "left-bottom": 8,
}  # fmt: skip
"""The eight orientations by the names that ExifTool and libexif give them."""


def f_number(value: object) -> float | None:
    """Return N, from the tag FNumber or text such as ``f/5.6``."""
    return _within(parse_number(value), PLAUSIBLE_F_NUMBERS)


def f_number_apex(value: object) -> float | None:
    """Return N = 2^(Av/2) from the tag ApertureValue; text that says ``f/…`` is taken at its word."""
    if isinstance(value, str) and value.strip()[:1] in ("f", "F"):
        return f_number(value)
    av = parse_number(value)
    return _within(f_number_from_apex(av), PLAUSIBLE_F_NUMBERS) if av is not None and abs(av) < _MOST_STOPS else None


def exposure_time(value: object) -> float | None:
    """Return the exposure time in seconds, from the tag ExposureTime or text such as ``1/640`` or ``0.5 s``."""
    return _within(parse_number(value), PLAUSIBLE_EXPOSURE_TIMES_S)


def exposure_time_apex(value: object) -> float | None:
    """Return t = 2^−Tv from the tag ShutterSpeedValue; text that says seconds or ``1/…`` is taken at its word."""
    if isinstance(value, str) and ("s" in value or re.match(r"\s*1/[1-9]\d", value)):
        return exposure_time(value)
    tv = parse_number(value)
    return (
        _within(exposure_time_from_apex(tv), PLAUSIBLE_EXPOSURE_TIMES_S)
        if tv is not None and abs(tv) < _MOST_STOPS
        else None
    )


def iso(value: object) -> float | None:
    """Return an exposure index; of a list (``100, 0, 0``; two values of Exif 2.2) the first credible one.

    65,535 says that the value did not fit (Exif 2.32, tag 0x8827), and is none.
    """
    if isinstance(value, str) and "," in value:
        value = value[:_LONGEST].split(",")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return next((found for found in map(iso, value[:_MOST_ITEMS]) if found is not None), None)
    if isinstance(value, str):
        value = re.sub(r"^\s*ISO\s*", "", value, flags=re.IGNORECASE)
    found = _within(parse_number(value), PLAUSIBLE_ISOS)
    return None if found == _ISO_TOO_LARGE_FOR_ITS_FIELD else found


def focal_length(value: object) -> float | None:
    """Return a focal length in mm; zero, which a lens without contacts gives, is none."""
    return _within(parse_number(value), PLAUSIBLE_FOCAL_LENGTHS_MM)


def flash_fired(value: object) -> bool | None:
    """Return bit 0 of the tag Flash (Exif 2.32, tag 0x9209), or what the words for it say."""
    if isinstance(value, bool):
        return value
    found = parse_number(value)
    if found is not None:
        return bool(int(found) & 1) if 0 <= found <= _FLASH_BITS else None
    words = value.strip().lower() if isinstance(value, str) else ""
    if re.match(r"(off|no\b|false|.*not fire)", words):
        return False
    return True if re.search(r"fired|^true$|^yes$", words) else None


def orientation(value: object) -> int | None:
    """Return 1 to 8, from the number or from its name."""
    found = parse_number(value)
    if found is None:
        return _ORIENTATIONS.get(value.strip().lower()) if isinstance(value, str) else None
    return int(found) if found in range(1, 9) else None


def text(value: object, longest: int = _LONGEST) -> str | None:
    """Return words on one line without control characters, cut to a bounded length; None if nothing is left."""
    if isinstance(value, bytes):
        value = value[: 4 * longest].decode("latin-1")
    if not isinstance(value, str):
        return None
    words = " ".join(_CONTROL.sub(" ", _utf8(value[: 4 * longest])).split())
    return words[:longest].rstrip() or None


def moment(value: object, offset: object = None) -> str | None:
    """Return a date and time in ISO 8601.

    Args:
        value: ``2020:05:17 12:34:56``, or one of the forms near it, with or without a time or an offset.
        offset: the tag OffsetTimeOriginal, used where ``value`` has none of its own.
    """
    found = _DATE.fullmatch(value.strip("\0 \t\r\n")[:40]) if isinstance(value, str) else None
    if found is None or not PLAUSIBLE_YEARS[0] <= int(found[1]) <= PLAUSIBLE_YEARS[1]:
        return None
    try:
        day = datetime(*(int(part or 0) for part in found.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None
    if found[4] is None:
        return day.date().isoformat()
    return day.isoformat() + (_offset(found[7]) or _offset(offset))


def _offset(value: object) -> str:
    found = _OFFSET.fullmatch(value.strip("\0 ")) if isinstance(value, str) else None
    if found is None:
        return ""
    digits = found[0].replace(":", "")
    return "+00:00" if digits == "Z" else f"{digits[:3]}:{digits[3:]}"


def _within(value: float | None, limits: tuple[float, float]) -> float | None:
    return value if value is not None and limits[0] <= value <= limits[1] else None


def _utf8(words: str) -> str:
    """Undo the reading of UTF-8 as Latin-1, which is what EXIF's ASCII fields get."""
    try:
        return words.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return words
