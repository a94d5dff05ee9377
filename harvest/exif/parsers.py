"""Parsers of EXIF values: each accepts every notation of a value, and returns None for anything implausible.

Text is truncated before it is parsed, which bounds the cost of hostile values.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from lightmeter.exposure import (
    LENGTH_UNITS,
    TIME_UNITS,
    exposure_time_from_apex,
    f_number_from_apex,
    parse_number,
)

PLAUSIBLE_F_NUMBER_RANGE = (0.5, 512.0)
PLAUSIBLE_EXPOSURE_TIME_RANGE_S = (1e-6, 86_400.0)
PLAUSIBLE_ISO_RANGE = (1.0, 10_000_000.0)
PLAUSIBLE_FOCAL_LENGTH_RANGE_MM = (0.1, 20_000.0)
PLAUSIBLE_YEARS = (1826, 2100)  # from the first photograph

_MAX_TEXT_LENGTH = 200
_MAX_DATE_LENGTH = 40
_MAX_ITEMS = 16
_MAX_STOPS = 64  # of an APEX value
_ISO_OVERFLOW = 65_535
_MIN_USUAL_ISO = 25
_MAX_FLASH = 0xFFFF
_GROUPED = re.compile(r"\s{0,4}(\d{1,3})((?:[,.'’\u00a0\u2009\u202f ]\d{3}){1,3})\s{0,4}", re.ASCII)  # 12,800
_LIST_SEPARATOR = re.compile(r"[,;]? +|[,;](?!\d{3}(?!\d))", re.ASCII)  # not the comma of 12,800
_SPEED_WITH_DIN = re.compile(r"(\d{1,8}) ?/ ?\d{1,2} ?°")  # ISO 400/27°
_PREFIX = re.compile(r"^ {0,4}(?:ISO|ASA)[ :-]{0,4}", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+")
_DATE = re.compile(
    r"(\d{4})[:/.-] ?(\d{1,2})?(?:[:/.-] ?(\d{1,2})?)?"
    r"(?: ?[T:]? ?(\d{1,2})?(?:: ?(\d{1,2})?(?:: ?(\d{1,2})?(?:[.,]\d{1,9})?)?)? ?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_COMPACT_DATE = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(\d\d)?(?:[.,]\d{1,9})?)? ?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_OFFSET = re.compile(r"Z|[+-](?:0\d|1[0-4]):?[0-5]\d", re.ASCII)

_ORIENTATIONS = {
    "horizontal (normal)": 1, "mirror horizontal": 2, "rotate 180": 3, "mirror vertical": 4,
    "mirror horizontal and rotate 270 cw": 5, "rotate 90 cw": 6, "mirror horizontal and rotate 90 cw": 7,
    "rotate 270 cw": 8,
    "top-left": 1, "top-right": 2, "bottom-right": 3, "bottom-left": 4,
    "left-top": 5, "right-top": 6, "right-bottom": 7, "left-bottom": 8,
}  # fmt: skip
"""The eight orientations by their names in ExifTool and libexif."""


def f_number(value: object) -> float | None:
    """Return N from the tag FNumber, or from text such as ``f/5.6``."""
    return _within(parse_number(value, {"": 1.0}), PLAUSIBLE_F_NUMBER_RANGE)


def f_number_apex(value: object) -> float | None:
    """Return N = 2^(Av/2) from the tag ApertureValue; text that begins with ``f`` is an f-number."""
    if isinstance(value, str) and value.strip()[:1] in ("f", "F", "ƒ"):
        return f_number(value)
    return _from_apex(value, f_number_from_apex, PLAUSIBLE_F_NUMBER_RANGE)


def aperture_label(value: object) -> float | None:
    """Return N from the label *Aperture*, which some sources give to both FNumber and ApertureValue.

    A fraction over a higher power of two is how cameras write the APEX value (``130/32``).
    """
    fraction = re.fullmatch(r" {0,4}\d{1,9}/(\d{2,9}) {0,4}", value) if isinstance(value, str) else None
    return f_number_apex(value) if fraction and int(fraction[1]).bit_count() == 1 else f_number(value)


def exposure_time(value: object) -> float | None:
    """Return the exposure time in seconds from the tag ExposureTime, or from text such as ``1/640`` or ``0.5 s``."""
    return _within(parse_number(value, TIME_UNITS), PLAUSIBLE_EXPOSURE_TIME_RANGE_S)


def exposure_time_apex(value: object) -> float | None:
    """Return t = 2^−Tv from the tag ShutterSpeedValue; text with ``s`` or a fraction such as ``1/80`` is a time."""
    if isinstance(value, str) and ("s" in value or re.match(r" {0,4}1/[1-9]\d", value)):
        return exposure_time(value)
    return _from_apex(value, exposure_time_from_apex, PLAUSIBLE_EXPOSURE_TIME_RANGE_S)


def iso(value: object) -> float | None:
    """Return an exposure index; of a list (``100, 0, 0``, or two values in Exif 2.2) the first plausible one.

    65,535 means that the value did not fit into the field (Exif 2.32, tag 0x8827).
    """
    if isinstance(value, str):
        value = _iso_items(value[:_MAX_TEXT_LENGTH])
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return next((number for number in map(iso, value[:_MAX_ITEMS]) if number is not None), None)
    number = _within(parse_number(value), PLAUSIBLE_ISO_RANGE)
    return None if number == _ISO_OVERFLOW else number


def _iso_items(text: str) -> object:
    """Return the number in the text of an exposure index, or the items of a list."""
    text = _PREFIX.sub("", text, count=1).strip(" ,;")
    speed = _SPEED_WITH_DIN.search(text)
    if speed:
        return int(speed[1])
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        parts = [grouped[1], *re.findall(r"\d{3}", grouped[2])]
        is_decimal = text.strip().endswith(".000") and int(parts[0]) >= _MIN_USUAL_ISO
        return parts if is_decimal or len(set(parts)) == 1 else int("".join(parts))
    items = _LIST_SEPARATOR.split(text)
    if len(items) > 1 and all(item.replace(",", "").isdecimal() for item in items):
        return items
    number = parse_number(text)
    return number if number is None or (2 * number).is_integer() else None  # ISO 400/27 is a speed in ISO and DIN


def focal_length(value: object) -> float | None:
    """Return a focal length in mm; 0, which lenses without electronic contacts give, is implausible."""
    return _within(parse_number(value, LENGTH_UNITS), PLAUSIBLE_FOCAL_LENGTH_RANGE_MM)


def flash_fired(value: object) -> bool | None:
    """Return bit 0 of the tag Flash (Exif 2.32, tag 0x9209), or the meaning of its text."""
    if isinstance(value, bool):
        return value
    number = parse_number(value)
    if number is not None:
        return bool(int(number) & 1) if 0 <= number <= _MAX_FLASH else None
    label = value.strip().lower() if isinstance(value, str) else ""
    if label.startswith(("off", "false")) or "not fire" in label or label.split()[:1] == ["no"]:
        return False
    return True if "fired" in label or label in ("true", "yes") else None


def orientation(value: object) -> int | None:
    """Return 1 to 8 from the number or its name."""
    number = parse_number(value)
    if number is None:
        return _ORIENTATIONS.get(value.strip().lower()) if isinstance(value, str) else None
    return int(number) if number in range(1, 9) else None


def text(value: object, max_length: int = _MAX_TEXT_LENGTH) -> str | None:
    """Return truncated text in one line without control characters; None if nothing is left."""
    if isinstance(value, bytes):
        value = value[: 4 * max_length].decode("latin-1")
    if not isinstance(value, str):
        return None
    value = value[: 4 * max_length]
    if not (value.isascii() and value.isprintable()):
        value = _CONTROL.sub(" ", _decode_utf8(value))
    line = " ".join(value.split())
    return line[:max_length].rstrip() or None


def date_time(value: object, offset: object = None) -> str | None:
    """Return a date and time in ISO 8601; one with unknown parts ends before them (``1993-08``).

    Args:
        value: ``2020:05:17 12:34:56`` or a similar notation, with or without time and offset. Blanks stand for unknown
            parts (Exif 2.32, tag 0x9003); ``24:00:00`` is the end of the day, and the second 60 a leap second.
        offset: Value of the tag OffsetTimeOriginal, used if ``value`` has no offset.
    """
    text = " ".join(value.partition("\0")[0][:_MAX_DATE_LENGTH].split()) if isinstance(value, str) else ""
    match = _COMPACT_DATE.fullmatch(text) or _DATE.fullmatch(text)
    if match is None or not PLAUSIBLE_YEARS[0] <= int(match[1]) <= PLAUSIBLE_YEARS[1]:
        return None
    year, month, day, hour, minute, second = (None if part is None else int(part) for part in match.groups()[:6])
    try:
        if year is None or month is None:
            return match[1]
        if day is None:
            return f"{year}-{_in_range(month, 1, 12):02}"
        date = datetime(year, month, day)  # noqa: DTZ001 - EXIF holds local time
        if hour is None or minute is None:
            return date.date().isoformat()
        time = timedelta(hours=_in_range(hour, 0, 24), minutes=_in_range(minute, 0, 59))
        moment = date + min(time + timedelta(seconds=_in_range(second or 0, 0, 60)), timedelta(days=1))
    except (ValueError, OverflowError):
        return None
    return moment.isoformat() + (_offset(match[7]) or _offset(offset))


def _in_range(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError("outside its range")
    return value


def _offset(value: object) -> str:
    match = _OFFSET.fullmatch(value.strip("\0 ")) if isinstance(value, str) else None
    if match is None:
        return ""
    digits = match[0].replace(":", "")
    return "+00:00" if digits == "Z" else f"{digits[:3]}:{digits[3:]}"


def _from_apex(value: object, convert: Callable[[float], float], plausible_range: tuple[float, float]) -> float | None:
    """Return the setting of an APEX value; 0 is what cameras and scanners write for an unknown one."""
    stops = parse_number(value)
    return _within(convert(stops), plausible_range) if stops and abs(stops) < _MAX_STOPS else None


def _within(value: float | None, plausible_range: tuple[float, float]) -> float | None:
    return value if value is not None and plausible_range[0] <= value <= plausible_range[1] else None


def _decode_utf8(value: str) -> str:
    """Decode UTF-8 that was decoded as Latin-1, as EXIF's ASCII fields are."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
