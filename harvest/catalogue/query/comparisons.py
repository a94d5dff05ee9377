"""How the query language compares a column with values as written, by the kind of the column."""

import json
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_

from lightmeter.harvest.dates import parse_period
from lightmeter.harvest.licences import normalise_licence
from lightmeter.text.names import name_key

Condition = ColumnElement[bool]
Comparison = Callable[[ColumnElement[Any], str, str], Condition]
"""Compares a column by an operator (``= < <= > >= ~``) with a value as written in the query."""

MAX_VALUES = 10_000
"""Maximum number of values of ``in (…)``, within the limits of bound parameters of the databases."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHARE = re.compile(r"(\d{1,3})/(\d{1,3})(?:\+(\d{1,3})%?)?", re.ASCII)
_MAX_SHARES = 100
_AFTER_DIGITS = "g"  # sorts after all hexadecimal digits
_PRECISIONS = ("YYYY", "YYYY-MM", "YYYY-MM-DD")


class InvalidValue(ValueError):
    """A value or operator that a field does not accept; the message names what it accepts."""


def equals_any(compare: Comparison, column: ColumnElement[Any], texts: Sequence[str]) -> Condition:
    """Compare with several values, where possible by ``IN``: long chains of ``OR`` exceed the limits of databases."""
    if len(texts) > MAX_VALUES:
        raise InvalidValue(f"'in' takes at most {MAX_VALUES:,} values")
    if compare is compare_numbers:
        return column.in_([parse_number(text) for text in texts])
    if compare is compare_hashes:
        return column.in_([text.lower() for text in texts])
    if compare in (compare_texts, compare_words):
        return key_of(column).in_([name_key(text) for text in texts])
    if len(texts) > 100:
        raise InvalidValue("'in' takes at most 100 values of this field")
    return or_(*(compare(column, "=", text) for text in texts))


def compare_numbers(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare numbers; fractions are written ``1/250``."""
    return _operator(sign, "numbers")(column, parse_number(text))  # type: ignore[no-any-return]


def parse_number(text: str) -> float:
    """Return a number or fraction such as ``1/250``.

    Raises:
        InvalidValue: The text is neither, or not finite.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        number = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidValue(f"'{text}' is not a number") from error
    if not math.isfinite(number):
        raise InvalidValue(f"'{text}' is not a finite number")
    return number


def key_of(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the `name_key` of a text column, by the function of that name that both databases have."""
    return func.name_key(column, type_=Text)


def compare_texts(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare as names are: case, Unicode form and repeated blanks do not matter."""
    if sign == "~":
        return key_of(column).contains(name_key(text), autoescape=True)
    return _operator(sign, "texts")(key_of(column), name_key(text))  # type: ignore[no-any-return]


def compare_words(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare texts of one or few words, of which ``FIELD:VALUE`` gives the whole."""
    return compare_texts(column, sign, text)


def compare_hashes(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare hashes, whose hexadecimal digits are stored in lower case."""
    return column == text.lower() if sign == "=" else compare_texts(column, sign, text)


def compare_classes(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare labels: one of several classes, joined by ``|``, is enough."""
    if sign != "=":
        return compare_texts(column, sign, text)
    return or_(compare_texts(column, sign, text), compare_texts("|" + column + "|", "~", f"|{text}|"))


def compare_flags(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare yes and no."""
    if sign != "=" or text.lower() not in ("yes", "no", "true", "false"):
        raise InvalidValue("the value must be yes or no")
    return column.is_(text.lower() in ("yes", "true"))


def compare_licences(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare licences, in any spelling; one without a version matches all versions (``CC BY`` is ``CC-BY-4.0``)."""
    if sign != "=":
        return compare_texts(column, sign, text)
    text = normalise_licence(text) or text
    escaped = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return or_(compare_texts(column, sign, text), key_of(column).like(f"{escaped}-_._", escape="/"))


@dataclass(frozen=True)
class Share:
    """One of equal shares of all photographs by their SHA-256, which a later harvest does not change.

    ``2/3`` is the second of three shares; ``2/3+10`` has also the 10 % of all photographs that each share gets, so that
    the agreement of annotators can be measured.

    Attributes:
        low: Lowest first eight digits of the hashes of the share.
        high: Lowest first eight digits of those after it.
        common: Lowest last eight digits of the hashes that not every share has; empty if every share has none.
    """

    low: str
    high: str
    common: str

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Return the share of a query.

        Raises:
            InvalidValue: The text is no share.
        """
        share = _SHARE.fullmatch(text.strip())
        number, shares, common = (int(part or 0) for part in share.groups()) if share else (0, 0, 0)
        if not 1 <= number <= shares <= _MAX_SHARES or common > 100:
            raise InvalidValue("a share is 2/3, or 2/3+10 with 10 % for everybody")
        parts = ((number - 1, shares), (number, shares), (common, 100))
        low, high, last = (f"{16**8 * part // whole:08x}" if part < whole else _AFTER_DIGITS for part, whole in parts)
        return cls(low, high, last if common else "")


def in_share(sha256: ColumnElement[Any], share: Share) -> Condition:
    """Return the condition that hashes are in a share."""
    own = and_(sha256 >= share.low, sha256 < share.high)
    return or_(own, func.substr(sha256, 57) < share.common) if share.common else own


def compare_lists(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Search a JSON list of strings, in which quotation marks inside strings are escaped."""
    if sign not in ("=", "~"):
        raise InvalidValue("lists support only = and ~")
    element = json.dumps(name_key(text), ensure_ascii=False)
    return key_of(cast(column, Text)).contains(element if sign == "=" else element[1:-1], autoescape=True)


def compare_times(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare times with a year, month or day in UTC."""
    return _compare_period(column, sign, *_period(text))


def compare_local_times(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare ISO 8601 texts, which sort in order of time.

    A date of which only the year or month is known (``1993-08``) matches if each of its days does.
    """
    start, end = _period(text)
    precision = len(_PRECISIONS[text.count("-")])
    first = start.date().isoformat()[:precision]
    condition = _compare_period(column, sign, first, end and end.date().isoformat()[:precision])
    if sign not in ("<", "<="):
        return condition
    return and_(
        condition, column.not_in([first[: len(shorter)] for shorter in _PRECISIONS if len(shorter) < precision])
    )


def _compare_period(column: ColumnElement[Any], sign: str, start: object, end: object | None) -> Condition:
    """Compare a time with a period, whose end is None if no time is later."""
    until_end: Condition = column.is_not(None) if end is None else column < end
    if sign == "=":
        return and_(column >= start, until_end)
    if sign == "~":
        raise InvalidValue("dates do not support ~")
    if sign in ("<", "<="):
        return column < start if sign == "<" else until_end
    return column >= start if sign == ">=" else and_(column.is_not(None), ~until_end)


def _period(text: str) -> tuple[datetime, datetime | None]:
    try:
        return parse_period(text)
    except ValueError as error:
        raise InvalidValue(str(error)) from error


def _operator(sign: str, kind: str) -> Callable[[Any, Any], Any]:
    if sign not in _OPERATORS:
        raise InvalidValue(f"{kind} do not support {sign}")
    return _OPERATORS[sign]
