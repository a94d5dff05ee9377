"""The fields of the query language, as SQL conditions on the table ``images``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sqlalchemy import Boolean, ColumnElement, Text, and_, case, cast, exists, func, or_, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from lightmeter import plugins
from lightmeter.harvest.catalogue.effective_labels import authors_disagree, effective_label, labelled_by
from lightmeter.harvest.catalogue.models import Exif, Image, Inspection, Label, SightingRecord
from lightmeter.harvest.catalogue.query.comparisons import (
    Comparison,
    Condition,
    InvalidValue,
    Share,
    compare_classes,
    compare_flags,
    compare_hashes,
    compare_licences,
    compare_lists,
    compare_local_times,
    compare_numbers,
    compare_texts,
    compare_times,
    compare_words,
    equals_any,
    in_share,
    parse_number,
)
from lightmeter.harvest.exif.columns import EXIF_ALIASES, EXIF_COLUMNS, EXIF_PRECEDENCE

Kind = Literal["number", "text", "word", "time"]
"""How ``FIELD:VALUE`` compares: numbers and times by ranges, texts by what they contain, words as a whole."""

LABEL_PREFIX = "label."
"""Beginning of the names of the fields of labels: ``label.TARGET``."""

CONFLICT_PREFIX, AUTHOR_PREFIX = "conflict.", "author."
"""Beginnings of the fields for several annotators: whether authors disagree, and who has labelled a photograph."""


@dataclass(frozen=True)
class Field:
    """A field of the query language.

    Attributes:
        kind: How ``FIELD:VALUE`` compares.
        compare: Returns the condition for an operator and a value as written.
        equals_any: Returns the condition that the value is one of several, as written.
        between: Returns the condition that the value is in a range that includes both ends, as written.
        present: Condition that the photograph has a value.
        order: Value to sort by, in queries of images with their sightings.
        flag: Condition for the field's name alone, if the field is a flag.
        setting: EXIF column whose values ``FIELD:VALUE`` compares as photographers write them; empty for none.
    """

    kind: Kind
    compare: Callable[[str, str], Condition]
    equals_any: Callable[[Sequence[str]], Condition]
    between: Callable[[str, str], Condition]
    present: Condition
    order: ColumnElement[Any]
    flag: Condition | None = None
    setting: str = ""


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


class CatalogueColumns:
    """Where the values of fields stand in the catalogue: as SQL expressions in queries of images."""

    def image(self, name: str) -> ColumnElement[Any]:
        """Return a column of the table ``images``."""
        return _column(getattr(Image, name))

    def exif(self, name: str) -> ColumnElement[Any]:
        """Return the effective value of an EXIF column; ``make`` and ``model`` are columns of one table."""
        return _exif_value(name)

    def sighting(self, name: str) -> ColumnElement[Any]:
        """Return a column of the sightings of an image, for `any_sighting`."""
        return _column(getattr(SightingRecord, name))

    def any_sighting(self, condition: Condition) -> Condition:
        """Return the condition that any sighting of an image meets a condition on its columns."""
        return exists().where(SightingRecord.image_id == Image.id, condition).correlate(Image)

    def share(self, share: Share) -> Condition:
        """Return the condition that a photograph is in a share of all."""
        return in_share(self.image("sha256"), share)

    def verdict(self, filter_name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return verdict and reason of a filter, as columns of one table."""
        return _inspection_value(filter_name, Inspection.verdict), _inspection_value(filter_name, Inspection.reason)

    def label(self, target: str) -> ColumnElement[Any]:
        """Return the effective label of a target."""
        return effective_label(target)

    def conflict(self, target: str) -> ColumnElement[Any]:
        """Return whether authors have given different labels of a target."""
        return authors_disagree(target)

    def author(self, _target: str) -> ColumnElement[Any]:
        """Return the author of a label, for `any_author`."""
        return _column(Label.author)

    def any_author(self, target: str, condition: Condition) -> Condition:
        """Return the condition that any person who has labelled an image meets a condition on the author."""
        return labelled_by(target, condition)


CATALOGUE = CatalogueColumns()


def find_field(name: str, columns: CatalogueColumns = CATALOGUE) -> Field | None:
    """Return a field by its name or by the one that photographers use, or None if there is none.

    Args:
        name: Name in the query.
        columns: Where the values stand.
    """
    name = ALIASES.get(name.lower(), name)
    if name in _FIELDS:
        return _FIELDS[name](columns)
    if name.startswith(LABEL_PREFIX):
        return _column_field(columns.label(name.removeprefix(LABEL_PREFIX)), compare_classes)
    if name.startswith(CONFLICT_PREFIX):
        return _column_field(columns.conflict(name.removeprefix(CONFLICT_PREFIX)), compare_flags)
    if name.startswith(AUTHOR_PREFIX):
        return _author_field(name.removeprefix(AUTHOR_PREFIX), columns)
    filter_name, dot, measure = name.partition(".")
    if filter_name in plugins.installed("filters"):
        return _measure_field(filter_name, measure) if dot else _verdict_field(*columns.verdict(filter_name))
    return None


def field_names() -> list[str]:
    """Return the names of all fields; labels (label.TARGET) and measures (FILTER.MEASURE) are not listed."""
    return sorted({*_FIELDS, *ALIASES, *plugins.installed("filters")})


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
    return _column_field(_inspection_value(filter_name, number), compare_numbers)


def _verdict_field(verdict: ColumnElement[Any], reason: ColumnElement[Any]) -> Field:
    return Field(
        "word",
        lambda sign, text: or_(compare_texts(verdict, sign, text), compare_texts(reason, sign, text)),
        lambda texts: or_(*(equals_any(compare_texts, column, texts) for column in (verdict, reason))),
        partial(_between, compare_texts, verdict),
        verdict.is_not(None),
        verdict,
        verdict == "drop",
    )


def _column_field(column: ColumnElement[Any], compare: Comparison, setting: str = "") -> Field:
    """Return the field of an image or EXIF column; a yes/no column is also a flag."""
    return Field(
        _KINDS[compare],
        partial(compare, column),
        partial(equals_any, compare, column),
        partial(_between, compare, column),
        column.is_not(None),
        column,
        column.is_(True) if compare is compare_flags else None,
        setting,
    )


def _sighting_field(name: str, compare: Comparison, columns: CatalogueColumns) -> Field:
    """Return a field that matches if it matches any sighting of the photograph."""
    column, any_sighting = columns.sighting(name), columns.any_sighting
    return Field(
        _KINDS[compare],
        lambda sign, text: any_sighting(compare(column, sign, text)),
        lambda texts: any_sighting(equals_any(compare, column, texts)),
        lambda low, high: any_sighting(_between(compare, column, low, high)),
        any_sighting(column.is_not(None)),
        cast(column, Text) if compare is compare_lists else column,
    )


def _camera_field(columns: CatalogueColumns) -> Field:
    """Return the field of the camera's whole name; ``=`` also accepts the make or the model alone."""
    make, model = columns.exif("make"), columns.exif("model")
    names = (func.coalesce(make, "") + " " + func.coalesce(model, ""), make, model)

    def compare(sign: str, text: str) -> Condition:
        if sign not in ("=", "~"):
            raise InvalidValue("cameras support only = and ~")
        return or_(*(compare_texts(name, sign, text) for name in names))

    return Field(
        "text",
        compare,
        lambda texts: or_(*(equals_any(compare_texts, name, texts) for name in names)),
        partial(_between, compare_texts, model),
        or_(make.is_not(None), model.is_not(None)),
        names[0],
    )


def _text_field(columns: CatalogueColumns) -> Field:
    """Return the field of all that people write about a photograph, and of its camera and lens: ``text:venice``."""
    exif = [columns.exif(name) for name in ("make", "model", "lens")]
    sightings = [columns.sighting(name) for name in ("file", "title", "owner")]
    tags, any_sighting = columns.sighting("tags"), columns.any_sighting

    def compare(sign: str, text: str) -> Condition:
        if sign != "~":
            raise InvalidValue("text supports only : and ~")
        return or_(
            *(any_sighting(compare_texts(column, "~", text)) for column in sightings),
            any_sighting(compare_lists(tags, "~", text)),
            *(compare_texts(column, "~", text) for column in exif),
        )

    return Field(
        "text",
        compare,
        lambda texts: or_(*(compare("~", text) for text in texts)),
        partial(_between, compare_texts, exif[0]),
        true(),
        _column(Image.id),
    )


def _author_field(target: str, columns: CatalogueColumns) -> Field:
    """Return the field of the people who have labelled a photograph; it matches any of them."""
    author, any_author = columns.author(target), partial(columns.any_author, target)
    return Field(
        "word",
        lambda sign, text: any_author(compare_texts(author, sign, text)),
        lambda texts: any_author(equals_any(compare_texts, author, texts)),
        lambda low, high: any_author(_between(compare_texts, author, low, high)),
        any_author(author.is_not(None)),
        _column(Image.id),
    )


def _share_field(columns: CatalogueColumns) -> Field:
    """Return the field of shares of all photographs, for several annotators: ``share:2/3+10``."""

    def compare(sign: str, text: str) -> Condition:
        if sign != "=":
            raise InvalidValue("shares support only =")
        return columns.share(Share.parse(text))

    def between(_low: str, _high: str) -> Condition:
        raise InvalidValue("shares have no ranges")

    sha256 = columns.image("sha256")
    return Field("word", compare, lambda texts: or_(*(compare("=", text) for text in texts)), between, true(), sha256)


def _image_field(name: str, compare: Comparison, columns: CatalogueColumns) -> Field:
    return _column_field(columns.image(name), compare)


def _column(attribute: Any) -> ColumnElement[Any]:
    column: ColumnElement[Any] = attribute
    return column


def _between(compare: Comparison, column: ColumnElement[Any], low: str, high: str) -> Condition:
    if compare is compare_numbers:  # evaluates the column once, which may be a subquery
        return column.between(parse_number(low), parse_number(high))
    return and_(compare(column, ">=", low), compare(column, "<=", high))


_EXIF_COMPARISONS: dict[type, Comparison] = {
    float: compare_numbers,
    int: compare_numbers,
    str: compare_texts,
    bool: compare_flags,
}


def _exif_field(name: str, columns: CatalogueColumns) -> Field:
    compare = compare_local_times if name == "taken_at" else _EXIF_COMPARISONS[EXIF_COLUMNS[name].type]
    return _column_field(columns.exif(name), compare, name if EXIF_COLUMNS[name].type is float else "")


_IMAGE_COLUMNS = (
    {"sha256": compare_hashes}
    | dict.fromkeys(("width", "height", "file_size"), compare_numbers)
    | dict.fromkeys(("format", "quantisation"), compare_texts)
)
_SIGHTING_COLUMNS: dict[str, tuple[str, Comparison]] = {
    **{name: (name, compare_texts) for name in ("source", "source_id", "owner", "title", "file", "page_url")},
    "medium": ("medium", compare_words),
    "licence": ("licence", compare_licences),
    "tag": ("tags", compare_lists),
    "concept": ("concepts", compare_lists),
    "published_at": ("published_at", compare_times),
    "run": ("run_id", compare_numbers),
}
_KINDS: dict[Comparison, Kind] = {
    compare_numbers: "number",
    compare_texts: "text",
    compare_hashes: "text",
    compare_words: "word",
    compare_classes: "word",
    compare_flags: "word",
    compare_licences: "word",
    compare_lists: "word",
    compare_times: "time",
    compare_local_times: "time",
}
_FIELDS: dict[str, Callable[[CatalogueColumns], Field]] = {
    "camera": _camera_field,
    "share": _share_field,
    "text": _text_field,
    **{name: partial(_exif_field, name) for name in EXIF_COLUMNS},
    **{name: partial(_image_field, name, compare) for name, compare in _IMAGE_COLUMNS.items()},
    **{name: partial(_sighting_field, column, compare) for name, (column, compare) in _SIGHTING_COLUMNS.items()},
}
ALIASES = EXIF_ALIASES | {"photographer": "owner", "license": "licence"}
"""Fields by the names that photographers use."""
