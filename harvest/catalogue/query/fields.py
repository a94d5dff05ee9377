"""What queries can ask of a photograph: each field as an SQL condition on the table ``images``."""

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, exists, func, or_, select

from lightmeter import plugins
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Sighting
from lightmeter.harvest.exif.columns import EXIF_COLUMNS, EXIF_PRECEDENCE

Condition = ColumnElement[bool]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class InvalidValue(ValueError):
    """A value that a field cannot have; the message says what it can."""


@dataclass(frozen=True)
class Field:
    """Something that a query can ask.

    Attributes:
        test: makes the condition for an operator (``= < <= > >= ~``) and a value as written.
        known: the condition that the photograph has a value.
        flag: the condition for the field's name alone, where that is a question of yes and no.
    """

    test: Callable[[str, str], Condition]
    known: Condition
    flag: Condition | None = None


def field(name: str) -> Field | None:
    """Return a field by its name, or None if there is none."""
    if name in _FIELDS:
        return _FIELDS[name]()
    filter_name, dot, measure = name.partition(".")
    if filter_name in plugins.installed("filters"):
        return _measure(filter_name, measure) if dot else _verdict(filter_name)
    return None


def field_names() -> list[str]:
    """Return the names of all fields; measures of filters stand behind the filter's name and a dot."""
    return sorted({*_FIELDS, *plugins.installed("filters")})


def _exif(column: str) -> ColumnElement[Any]:
    """Return a normalised EXIF value from the first origin that has it."""
    wanted = getattr(Exif, column)
    of_file = select(wanted).where(Exif.image_id == Image.id, Exif.origin == "file", wanted.is_not(None))
    of_sightings = [
        select(wanted)
        .join(Sighting, Exif.sighting_id == Sighting.id)
        .where(Sighting.image_id == Image.id, Exif.origin == origin, wanted.is_not(None))
        for origin in EXIF_PRECEDENCE[1:]
    ]
    return func.coalesce(
        *(query.order_by(Exif.id).limit(1).correlate(Image).scalar_subquery() for query in (of_file, *of_sightings))
    )


def _numbers(column: Callable[[], ColumnElement[Any]]) -> Callable[[], Field]:
    def make() -> Field:
        value = column()
        return Field(lambda sign, text: _comparison(sign)(value, _number(text)), value.is_not(None))

    return make


def _texts(column: Callable[[], ColumnElement[Any]]) -> Callable[[], Field]:
    return lambda: Field(lambda sign, text: _same_text(column(), sign, text), column().is_not(None))


def _of_sightings(column: Any, same: Callable[[ColumnElement[Any], str, str], Condition]) -> Callable[[], Field]:
    """Return a field that holds if it holds for any sighting of the photograph."""

    def some(condition: Condition) -> Condition:
        return exists().where(Sighting.image_id == Image.id, condition).correlate(Image)

    return lambda: Field(lambda sign, text: some(same(column, sign, text)), some(column.is_not(None)))


def _measure(filter_name: str, measure: str) -> Field:
    value = _inspection(filter_name, Inspection.measures[measure].as_float())
    return Field(lambda sign, text: _comparison(sign)(value, _number(text)), value.is_not(None))


def _verdict(filter_name: str) -> Field:
    verdict, reason = _inspection(filter_name, Inspection.verdict), _inspection(filter_name, Inspection.reason)

    def test(sign: str, text: str) -> Condition:
        return or_(_same_text(verdict, sign, text), _same_text(reason, sign, text))

    return Field(test, verdict.is_not(None), verdict == "drop")


def _inspection(filter_name: str, column: Any) -> ColumnElement[Any]:
    query = select(column).where(Inspection.image_id == Image.id, Inspection.filter == filter_name)
    return query.correlate(Image).scalar_subquery()


def _same_text(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare without regard to case; as written too, because SQLite knows the case of ASCII letters alone."""
    if sign == "~":
        return or_(func.lower(column).contains(text.lower(), autoescape=True), column.contains(text, autoescape=True))
    same: Condition = _comparison(sign)(func.lower(column), text.lower())
    return or_(same, column == text) if sign == "=" else same


def _same_licence(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare licences; one without a version stands for all its versions (``CC-BY`` for ``CC-BY-4.0``)."""
    if sign != "=":
        return _same_text(column, sign, text)
    escaped = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return or_(_same_text(column, sign, text), func.lower(column).like(f"{escaped}-_._", escape="/"))


def _has_word(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Look for a word in a JSON list of words: quotation marks inside words are escaped there."""
    if sign not in ("=", "~"):
        raise InvalidValue("lists of words know only = and ~")
    word = json.dumps(text).lower()
    return func.lower(cast(column, Text)).contains(word if sign == "=" else word[1:-1], autoescape=True)


def _in_time(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    return _between(column, sign, *_period(text))


def _in_local_time(column: ColumnElement[Any], sign: str, text: str) -> Condition:
    """Compare ISO 8601 texts, which sort as the times do."""
    start, end = _period(text)
    return _between(column, sign, start.strftime("%Y-%m-%d"), end.strftime("%Y-%m-%d"))


def _between(column: ColumnElement[Any], sign: str, start: object, end: object) -> Condition:
    if sign == "=":
        return and_(column >= start, column < end)
    if sign == "~":
        raise InvalidValue("dates know no ~")
    before: Condition = column < (start if sign == "<" else end)
    after: Condition = column >= (start if sign == ">=" else end)
    return before if sign in ("<", "<=") else after


def _period(text: str) -> tuple[datetime, datetime]:
    """Return beginning and end of a year, a month or a day as written."""
    for form, step in (("%Y", 366), ("%Y-%m", 31), ("%Y-%m-%d", 1)):
        try:
            start = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        after = start + timedelta(days=step)
        return start, after if step == 1 else after.replace(month=1 if form == "%Y" else after.month, day=1)
    raise InvalidValue(f"'{text}' is no date; write 2019, 2019-05 or 2019-05-31")


def _number(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidValue(f"'{text}' is no number") from error


def _comparison(sign: str) -> Callable[[Any, Any], Any]:
    if sign not in _COMPARE:
        raise InvalidValue("numbers know no ~")
    return _COMPARE[sign]


def _yes_or_no(column: Callable[[], ColumnElement[Any]]) -> Callable[[], Field]:
    def test(sign: str, text: str) -> Condition:
        if sign != "=" or text.lower() not in ("yes", "no", "true", "false"):
            raise InvalidValue("it is yes or no")
        return column().is_(text.lower() in ("yes", "true"))

    return lambda: Field(test, column().is_not(None), column().is_(True))


_EXIF_FIELDS = {float: _numbers, int: _numbers, str: _texts, bool: _yes_or_no}
_FIELDS: dict[str, Callable[[], Field]] = {
    **{column.name: _EXIF_FIELDS[column.type](partial(_exif, column.name)) for column in EXIF_COLUMNS.values()},
    **{name: _numbers(partial(getattr, Image, name)) for name in ("width", "height", "file_size")},
    **{name: _texts(partial(getattr, Image, name)) for name in ("sha256", "format", "quantisation")},
    **{
        name: _of_sightings(getattr(Sighting, name), _same_text)
        for name in ("source", "source_id", "owner", "title", "file", "page_url", "medium")
    },
    "licence": _of_sightings(Sighting.licence, _same_licence),
    "tag": _of_sightings(Sighting.tags, _has_word),
    "concept": _of_sightings(Sighting.concepts, _has_word),
    "published_at": _of_sightings(Sighting.published_at, _in_time),
    "taken_at": lambda: Field(
        lambda sign, text: _in_local_time(_exif("taken_at"), sign, text), _exif("taken_at").is_not(None)
    ),
}
