"""The fields of the query language, as SQL conditions on the table ``images``."""

import json
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Text, and_, case, cast, exists, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from lightmeter import plugins
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, SightingRecord
from lightmeter.harvest.exif.columns import EXIF_COLUMNS, EXIF_PRECEDENCE
from lightmeter.harvest.licences import normalise_licence

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


_PRECISIONS = ("YYYY", "YYYY-MM", "YYYY-MM-DD")


class InvalidValue(ValueError):
    """A value or operator that a field does not accept; the message names what it accepts."""


@dataclass(frozen=True)
class Field:
    """A field of the query language.

    Attributes:
        compare: Returns the condition for an operator and a value as written.
        equals_any: Returns the condition that the value is one of several, as written.
        present: Condition that the photograph has a value.
        flag: Condition for the field's name alone, if the field is a flag.
    """

    compare: Callable[[str, str], Condition]
    equals_any: Callable[[Sequence[str]], Condition]
    present: Condition
    flag: Condition | None = None


class _IsNumber(GenericFunction[bool]):
    """Whether a member of a JSON column, given as column and key, is a number."""

    type = Boolean()
    inherit_cache = True


@compiles(_IsNumber)
def _compile_is_number(element: Any, compiler: Any, **options: Any) -> str:
    return f"(json_typeof({compiler.process(_member(element), **options)}) = 'number')"


@compiles(_IsNumber, "sqlite")
def _compile_is_number_for_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"(json_type({compiler.process(_member(element), **options)}) IN ('integer', 'real'))"


def _member(element: Any) -> ColumnElement[Any]:
    member: ColumnElement[Any] = element.clauses.clauses[0]
    return member


def find_field(name: str) -> Field | None:
    """Return a field by name, or None if there is none."""
    if name in _FIELDS:
        return _FIELDS[name]()
    filter_name, dot, measure = name.partition(".")
    if filter_name in plugins.installed("filters"):
        return _measure_field(filter_name, measure) if dot else _verdict_field(filter_name)
    return None


def field_names() -> list[str]:
    """Return the names of all fields; measures are written FILTER.MEASURE and not listed."""
    return sorted({*_FIELDS, *plugins.installed("filters")})


def _exif_value(column: str) -> ColumnElement[Any]:
    """Return the effective value of an EXIF column."""
    value = getattr(Exif, column)
    queries = [
        select(value)
        .join(SightingRecord, Exif.sighting_id == SightingRecord.id)
        .where(SightingRecord.image_id == Image.id, Exif.origin == origin, value.is_not(None))
        for origin in EXIF_PRECEDENCE[1:]
    ]
    queries.insert(0, select(value).where(Exif.image_id == Image.id, Exif.origin == "file", value.is_not(None)))
    return func.coalesce(*(query.order_by(Exif.id).limit(1).correlate(Image).scalar_subquery() for query in queries))


def _inspection_value(filter_name: str, column: Any) -> ColumnElement[Any]:
    query = select(column).where(Inspection.image_id == Image.id, Inspection.filter == filter_name)
    return query.correlate(Image).scalar_subquery()


def _measure_field(filter_name: str, measure: str) -> Field:
    member = Inspection.measures[measure]
    number = case((_IsNumber(member), member.as_float()))  # PostgreSQL refuses to cast other values
    return _column_field(_inspection_value(filter_name, number), _compare_numbers)


def _verdict_field(filter_name: str) -> Field:
    verdict = _inspection_value(filter_name, Inspection.verdict)
    reason = _inspection_value(filter_name, Inspection.reason)
    return Field(
        lambda sign, text: or_(_compare_texts(verdict, sign, text), _compare_texts(reason, sign, text)),
        lambda texts: or_(*(_equals_any(_compare_texts, column, texts) for column in (verdict, reason))),
        verdict.is_not(None),
        verdict == "drop",
    )


def _column_field(column: ColumnElement[Any], compare: Comparison) -> Field:
    """Return the field of an image or EXIF column; a yes/no column is also a flag."""
    flag = column.is_(True) if compare is _compare_flags else None
    return Field(partial(compare, column), partial(_equals_any, compare, column), column.is_not(None), flag)


def _sighting_field(column: Any, compare: Comparison) -> Field:
    """Return a field that matches if it matches any sighting of the photograph."""

    def any_sighting(condition: Condition) -> Condition:
        return exists().where(SightingRecord.image_id == Image.id, condition).correlate(Image)

    return Field(
        lambda sign, text: any_sighting(compare(column, sign, text)),
        lambda texts: any_sighting(_equals_any(compare, column, texts)),
        any_sighting(column.is_not(None)),
    )


def _equals_any(compare: Comparison, column: ColumnElement[Any], texts: Sequence[str]) -> Condition:
    """Compare with several values, where possible by ``IN``: long chains of ``OR`` exceed the limits of databases."""
    if len(texts) > MAX_VALUES:
        raise InvalidValue(f"'in' takes at most {MAX_VALUES:,} values")
    if compare is _compare_numbers:
        return column.in_([_number(text) for text in texts])
    if compare is _compare_texts:
        return or_(func.lower(column).in_([text.lower() for text in texts]), column.in_(texts))
    if len(texts) > 100:
        raise InvalidValue("'in' takes at most 100 values of this field")
    return or_(*(compare(column, "=", text) for text in texts))


def _compare_numbers(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    return _operator(sign, "numbers")(column, _number(text))  # type: ignore[no-any-return]


def _number(text: str) -> float:
    """Return a number or fraction such as ``1/250``."""
    numerator, slash, denominator = text.partition("/")
    try:
        number = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidValue(f"'{text}' is not a number") from error
    if not math.isfinite(number):
        raise InvalidValue(f"'{text}' is not a finite number")
    return number


def _compare_texts(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare ignoring case, and also as written, because SQLite lowers ASCII letters only."""
    if sign == "~":
        return or_(func.lower(column).contains(text.lower(), autoescape=True), column.contains(text, autoescape=True))
    condition: Condition = _operator(sign, "texts")(func.lower(column), text.lower())
    return or_(condition, column == text) if sign == "=" else condition


def _compare_flags(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    if sign != "=" or text.lower() not in ("yes", "no", "true", "false"):
        raise InvalidValue("the value must be yes or no")
    return column.is_(text.lower() in ("yes", "true"))


def _compare_licences(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare licences, in any spelling; one without a version matches all versions (``CC BY`` is ``CC-BY-4.0``)."""
    if sign != "=":
        return _compare_texts(column, sign, text)
    text = normalise_licence(text) or text
    escaped = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return or_(_compare_texts(column, sign, text), func.lower(column).like(f"{escaped}-_._", escape="/"))


def _compare_lists(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Search a JSON list of strings, in which quotation marks inside strings are escaped."""
    if sign not in ("=", "~"):
        raise InvalidValue("lists support only = and ~")
    element = json.dumps(text).lower()
    return func.lower(cast(column, Text)).contains(element if sign == "=" else element[1:-1], autoescape=True)


def _compare_times(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    return _compare_period(column, sign, *_period(text))


def _compare_local_times(column: ColumnElement[Any], sign: str, text: str) -> Condition:
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
    """Return the start of a year, month or day as written, and the start of the next; None after the year 9999."""
    for pattern, days in (("%Y", 366), ("%Y-%m", 31), ("%Y-%m-%d", 1)):
        try:
            start = datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
        try:
            end = start + timedelta(days=days)
        except OverflowError:
            return start, None
        return start, end if days == 1 else end.replace(month=1 if pattern == "%Y" else end.month, day=1)
    raise InvalidValue(f"'{text}' is not a date; write 2019, 2019-05 or 2019-05-31")


def _operator(sign: str, kind: str) -> Callable[[Any, Any], Any]:
    if sign not in _OPERATORS:
        raise InvalidValue(f"{kind} do not support {sign}")
    return _OPERATORS[sign]


_EXIF_COMPARISONS: dict[type, Comparison] = {
    float: _compare_numbers,
    int: _compare_numbers,
    str: _compare_texts,
    bool: _compare_flags,
}


def _exif_field(name: str) -> Field:
    compare = _compare_local_times if name == "taken_at" else _EXIF_COMPARISONS[EXIF_COLUMNS[name].type]
    return _column_field(_exif_value(name), compare)


_IMAGE_COLUMNS = dict.fromkeys(("width", "height", "file_size"), _compare_numbers) | dict.fromkeys(
    ("sha256", "format", "quantisation"), _compare_texts
)
_SIGHTING_COLUMNS: dict[str, tuple[Any, Comparison]] = {
    **{
        name: (getattr(SightingRecord, name), _compare_texts)
        for name in ("source", "source_id", "owner", "title", "file", "page_url", "medium")
    },
    "licence": (SightingRecord.licence, _compare_licences),
    "tag": (SightingRecord.tags, _compare_lists),
    "concept": (SightingRecord.concepts, _compare_lists),
    "published_at": (SightingRecord.published_at, _compare_times),
}
_FIELDS: dict[str, Callable[[], Field]] = {
    **{name: partial(_exif_field, name) for name in EXIF_COLUMNS},
    **{name: partial(_column_field, getattr(Image, name), compare) for name, compare in _IMAGE_COLUMNS.items()},
    **{name: partial(_sighting_field, *arguments) for name, arguments in _SIGHTING_COLUMNS.items()},
}
