"""The short form of the query language: ``f:2.8-4 iso:100-400 shutter:1/500-1/60 camera:leica``.

A setting matches if it is written as in the query: ``f:2.8`` matches 2.828, which is shown as f/2.8. Ranges include
both ends, in either order; ``-`` or ``..`` separates them, and an end that is left out is open. Several values or
ranges are separated by commas.
"""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from sqlalchemy import or_

from lightmeter.exposure import LENGTH_UNITS, MIN_DECIMAL_TIME_S, TIME_UNITS, parse_number
from lightmeter.harvest.catalogue.query.comparisons import Condition, InvalidValue
from lightmeter.harvest.catalogue.query.fields import Field

MAX_ITEMS = 100
"""Maximum number of values and ranges that commas separate."""

_ITEM = re.compile(r""""([^"]*)"|'([^']*)'|([^,]+)""")
_SIGN = re.compile(r"(<=|>=|<|>)(.+)", re.DOTALL)
_DASH = re.compile(r"(.*?(?<![eE]))[-–—](.*)", re.DOTALL)
_YEARS = re.compile(r"(\d{4})?[-–—](\d{4})?", re.ASCII)
_UNITS = {"exposure_time_s": TIME_UNITS, "focal_length_mm": LENGTH_UNITS, "focal_length_35mm": LENGTH_UNITS}
_PREFIX = {"f_number": re.compile(r"[fƒ] ?/? ?", re.IGNORECASE), "iso": re.compile("iso ?", re.IGNORECASE)}
_EXAMPLES = {"f_number": "2.8", "exposure_time_s": "1/125", "focal_length_mm": "50", "focal_length_35mm": "50"}


def matches(field: Field, text: str) -> Condition:
    """Return the condition that a field has one of the values, or is in one of the ranges, of ``FIELD:TEXT``.

    Raises:
        InvalidValue: A value is not one of the field's.
    """
    items = list(_items(text))
    if len(items) > MAX_ITEMS:
        raise InvalidValue(f"':' takes at most {MAX_ITEMS} values; write FIELD in (…)")
    return or_(*(_match(field, item) for item in items))


def _items(text: str) -> Iterator[str]:
    for match in _ITEM.finditer(text):
        yield next(group for group in match.groups() if group is not None)


def _match(field: Field, text: str) -> Condition:
    if field.kind in ("text", "word"):
        return field.compare("~" if field.kind == "text" else "=", text)
    signed = _SIGN.fullmatch(text)
    if signed:
        return _compare(field, signed[1], signed[2])
    low, high = _ends(field, text.strip())
    if field.kind == "time":
        return (
            field.compare("=", low)
            if low == high
            else _range(field, *sorted((low, high)) if low and high else (low, high))
        )
    if low and high and _interval(field, low)[0] > _interval(field, high)[0]:
        low, high = high, low
    return _range(field, low and repr(_interval(field, low)[0]), high and repr(_interval(field, high)[1]))


def _compare(field: Field, sign: str, text: str) -> Condition:
    if field.kind == "time":
        return field.compare(sign, text.strip())
    low, high = _interval(field, text)
    return field.compare(sign, repr(low if sign in ("<", ">=") else high))


def _range(field: Field, low: str, high: str) -> Condition:
    if low and high:
        return field.between(low, high)
    return field.compare(">=", low) if low else field.compare("<=", high)


def _ends(field: Field, text: str) -> tuple[str, str]:
    """Return both ends of a range, empty for one that is open; those of a single value are equal."""
    low, dots, high = text.partition("..")
    if not dots:
        dash = _YEARS.fullmatch(text) if field.kind == "time" else _DASH.fullmatch(text)
        if dash is None:
            return text, text
        low, high = dash[1] or "", dash[2] or ""
    if not low.strip() and not high.strip():
        raise InvalidValue(f"'{text}' has neither a lower nor an upper end")
    return low.strip(), high.strip()


def _interval(field: Field, text: str) -> tuple[float, float]:
    """Return the interval of the numbers that are written like one.

    Numbers count with as many digits as they are shown with, or as were written if those are more.

    Raises:
        InvalidValue: The text is not a number.
    """
    plain = _PREFIX[field.setting].sub("", text.strip(), count=1) if field.setting in _PREFIX else text.strip()
    starts_with_digit = plain[:1].isdecimal() or plain[:1] in ("." if field.setting else "-+.")
    value = parse_number(plain, _UNITS.get(field.setting, {"": 1.0})) if starts_with_digit else None
    if value is None or (field.setting and value <= 0):
        example = f"; write for example {_EXAMPLES[field.setting]}" if field.setting in _EXAMPLES else ""
        raise InvalidValue(f"'{text}' is not a number{example}")
    if not field.setting:
        return value, value
    if field.setting == "exposure_time_s" and value < MIN_DECIMAL_TIME_S:
        return 1 / (1 / value + 0.5), 1 / (1 / value - 0.5)
    shown = 1 if value < 10 else 0
    half = 0.5 * 10.0 ** -max(shown, _decimals(plain))
    return value - half, value + half


def _decimals(text: str) -> int:
    number = re.match(r"[\d.]+", text)
    try:
        exponent = Decimal(number[0]).as_tuple().exponent if number and "/" not in text else 0
    except InvalidOperation:
        return 0
    return min(12, -exponent) if isinstance(exponent, int) else 0
