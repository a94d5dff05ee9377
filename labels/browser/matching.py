"""Queries on the photographs in memory.

A comparison is evaluated once for each distinct value, by the same conditions as in the catalogue, but on small tables
of SQLite in memory. What is not in memory (measures of filters, hashes) is evaluated in the catalogue.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import (
    Boolean,
    BooleanClauseList,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    select,
)
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.operators import or_
from sqlalchemy.sql.visitors import iterate

from lightmeter.harvest.catalogue.database.session import add_name_key
from lightmeter.harvest.catalogue.models import Exif, Image, SightingRecord
from lightmeter.harvest.catalogue.query.comparisons import Condition, Share
from lightmeter.harvest.catalogue.query.fields import CatalogueColumns
from lightmeter.harvest.catalogue.query.parser import QueryTarget, compile_query
from lightmeter.labels.browser.columns import Mask
from lightmeter.labels.browser.facts import LISTS, Facts, whole
from lightmeter.labels.browser.label_columns import LabelColumns

Codes = NDArray[np.signedinteger[Any]]

Values = Mapping[str, tuple[Any, Any]]
"""Columns by name: SQLAlchemy type and Arrow array."""

_CAMERA = ("make", "model")


@dataclass(frozen=True)
class _Distinct:
    """The distinct values of one or two columns.

    Attributes:
        table: Table of the values with their ``code``.
        codes: Code of each row of the columns.
        photographs: Row of the photograph of each row; None if each row is that of a photograph.
    """

    table: Table
    codes: Codes
    photographs: Codes | None = None

    def matching(self, codes: list[int], total: int) -> Mask:
        """Return which of all photographs have one of the codes."""
        is_match = np.zeros(max(int(self.codes.max(initial=0)), max(codes, default=0)) + 1, bool)
        is_match[codes] = True
        matches: Mask = is_match[self.codes]
        if self.photographs is None:
            return matches
        mask = np.zeros(total, bool)
        mask[self.photographs[matches]] = True
        return mask


class Matcher(CatalogueColumns):
    """Finds the photographs that match a query.

    Args:
        facts: The photographs.
        labels: Returns the labels of a target as they are now.
        in_catalogue: Returns the photographs that meet a condition on the table ``images`` of the catalogue.
    """

    def __init__(
        self,
        facts: Facts,
        labels: Callable[[str], LabelColumns],
        in_catalogue: Callable[[Condition], Mask],
    ) -> None:
        self._facts, self._labels, self._in_catalogue = facts, labels, in_catalogue
        self._distinct: dict[str, _Distinct] = {}
        self._lock = threading.RLock()
        self._engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(self._engine, "connect", add_name_key)

    def find(self, query: str) -> Mask:
        """Return the photographs that match a query.

        Raises:
            UsageError: The query is invalid.
        """
        target = QueryTarget(self, self._evaluate, _any_of, _all_of, np.logical_not)
        with self._lock:
            return compile_query(query, target)

    def image(self, name: str) -> ColumnElement[Any]:
        """Return a column of the table ``images``; that of the catalogue for hashes, of which no two are equal."""
        if name not in self._facts.images.column_names or name == "sha256":
            return super().image(name)
        return self._table(f"image {name}", {name: (_type(Image, name), self._facts.images[name])}).c[name]

    def exif(self, name: str) -> ColumnElement[Any]:
        """Return the effective value of an EXIF column."""
        names = _CAMERA if name in _CAMERA else (name,)
        values = {name: (_type(Exif, name), self._facts.exif[name]) for name in names}
        return self._table(f"exif {names[0]}", values).c[name]

    def sighting(self, name: str) -> ColumnElement[Any]:
        """Return a column of the sightings; that of the catalogue for what is not in memory."""
        if name not in self._facts.sightings.column_names:
            return super().sighting(name)
        kind = Text() if name in LISTS else _type(SightingRecord, name)
        values = {name: (kind, self._facts.sightings[name])}
        return self._table(f"sighting {name}", values, self._facts.sighting_rows).c[name]

    def any_sighting(self, condition: Condition) -> Condition:
        """Return the condition itself if it is on values in memory: `_evaluate` combines a photograph's sightings."""
        return condition if self._keys(condition) else super().any_sighting(condition)

    def share(self, share: Share) -> Condition:
        """Return the condition that a photograph is in a share of all."""
        key = f"share {share}"
        if key not in self._distinct:
            first, last = (
                np.asarray(pc.utf8_slice_codeunits(self._facts.images["sha256"], start, start + 8), "S8")
                for start in (0, 56)
            )
            is_in = ((first >= share.low.encode()) & (first < share.high.encode())) | (last < share.common.encode())
            self._create(key, {"value": (Boolean(), pa.array([False, True]))}, is_in.astype(np.int64))
        return self._distinct[key].table.c.value.is_(True)

    def verdict(self, filter_name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return verdict and reason of a filter."""
        if filter_name not in self._facts.verdicts:
            return super().verdict(filter_name)
        verdicts = self._facts.verdicts[filter_name]
        values = {name: (Text(), verdicts[name]) for name in verdicts.column_names}
        table = self._table(f"verdict {filter_name}", values)
        return table.c.verdict, table.c.reason

    def label(self, target: str) -> ColumnElement[Any]:
        """Return the effective label of a target, as it is now."""
        labels = self._labels(target)
        codes = np.where(labels.codes < 0, len(labels.values), labels.codes)
        values = {"value": (Text(), pa.array([*labels.values, None], pa.string()))}
        return self._create(f"label {target}", values, codes).c.value

    def conflict(self, target: str) -> ColumnElement[Any]:
        """Return whether people have given different labels of a target."""
        values = {"value": (Boolean(), pa.array([False, True]))}
        return self._create(f"conflict {target}", values, self._labels(target).disagreements().astype(np.int64)).c.value

    def author(self, target: str) -> ColumnElement[Any]:
        """Return the authors of labels, as they are now."""
        rows, codes, authors = self._labels(target).authors()
        return self._create(f"author {target}", {"author": (Text(), pa.array(authors))}, codes, rows).c.author

    def any_author(self, _target: str, condition: Condition) -> Condition:
        """Return the condition itself: `_evaluate` combines the authors of a photograph."""
        return condition

    def _table(self, key: str, values: Values, photographs: Codes | None = None) -> Table:
        if key in self._distinct:
            return self._distinct[key].table
        codes, distinct = _encode([array for _, array in values.values()])
        kinds = (kind for kind, _ in values.values())
        columns = dict(zip(values, zip(kinds, distinct, strict=True), strict=True))
        return self._create(key, columns, codes, photographs)

    def _create(self, key: str, values: Values, codes: Codes, photographs: Codes | None = None) -> Table:
        """Create a table of distinct values, in place of an earlier one with the same key."""
        columns = [Column(name, kind) for name, (kind, _) in values.items()]
        table = Table(key, MetaData(), Column("code", Integer, primary_key=True), *columns)
        lists = [_bound(kind, array, self._engine.dialect) for kind, array in values.values()]
        rows = list(zip(range(len(lists[0])), *lists, strict=True))
        with self._engine.begin() as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            if rows:
                connection.exec_driver_sql(str(table.insert().compile(self._engine)), rows)
        self._distinct[key] = _Distinct(table, codes, photographs)
        return table

    def _evaluate(self, condition: Condition) -> Mask:
        tables = _tables(condition)
        if len(tables) > 1 and isinstance(condition, BooleanClauseList) and condition.operator is or_:
            return _any_of(*map(self._evaluate, condition.clauses))
        keys = self._keys(condition)
        if not keys:
            return self._in_catalogue(condition)
        distinct = self._distinct[keys[0]]
        with self._engine.connect() as connection:
            codes = list(connection.scalars(select(distinct.table.c.code).where(condition)))
        return distinct.matching(codes, len(self._facts.images))

    def _keys(self, condition: Condition) -> list[str]:
        """Return the tables of values in memory that a condition is about."""
        return [name for name in _tables(condition) if name in self._distinct]


def _tables(condition: Condition) -> set[str]:
    return {element.table.name for element in iterate(condition) if isinstance(element, Column)}


def _type(model: Any, name: str) -> Any:
    return model.__table__.c[name].type


def _bound(kind: Any, array: pa.Array, dialect: Dialect) -> list[Any]:
    """Return values as the driver takes them."""
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    return [process(value) for value in array.to_pylist()] if process else array.to_pylist()


def _encode(arrays: list[pa.ChunkedArray]) -> tuple[NDArray[np.int32], list[pa.Array]]:
    """Return the code of each row of columns, and the distinct rows by code; null is a value like others."""
    keys: NDArray[np.int64] = np.zeros(len(arrays[0]), np.int64)
    for array in arrays:
        encoded = whole(array)
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        size = len(encoded.dictionary)
        keys = keys * (size + 1) + encoded.indices.fill_null(size).to_numpy()
    _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
    return codes.astype(np.int32), [array.take(pa.array(first)) for array in arrays]


def _any_of(*masks: Mask) -> Mask:
    mask: Mask = np.logical_or.reduce(masks)
    return mask


def _all_of(*masks: Mask) -> Mask:
    mask: Mask = np.logical_and.reduce(masks)
    return mask
