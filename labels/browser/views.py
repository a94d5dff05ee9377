"""Views: the photographs that match a query, a queue and facets, in order and in groups, with the counts of facets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lightmeter.errors import UsageError
from lightmeter.labels.browser.columns import Column, Mask, Numbers, Photographs
from lightmeter.labels.browser.queues import QueueKind
from lightmeter.plugins import unknown_name_message
from lightmeter.text.names import name_key

Rows = NDArray[np.signedinteger[Any]]

SORT_TITLES = {
    "file": "File name",
    "found": "Harvest order",
    "taken": "Date",
    "f": "Aperture",
    "shutter": "Shutter speed",
    "iso": "ISO",
    "mm": "Focal length",
    "confidence": "Confidence",
}
"""Sort keys with their titles; a minus sign before the key reverses the order."""

_MAX_VALUES = 60  # of a facet in an answer
_MAX_QUERY_LENGTH = 4_000
_PLAIN = ("q", "queue", "sample", "seed", "target", "sort", "group", "predictions")


@dataclass(frozen=True)
class State:
    """What a view shows, as written in a URL.

    Attributes:
        q: Query, or text to search.
        target: Target whose labels are shown.
        queue: Review queue.
        sample: Size of a random sample; None for all photographs.
        seed: Random seed of the sample.
        sort: Sort key, with a minus sign for descending order.
        group: Column to group by, or empty.
        predictions: Run whose predictions are shown; empty for those of the command.
        selections: Selected values of facets, by column; an empty text selects photographs without a value.
    """

    q: str = ""
    target: str = ""
    queue: QueueKind = "all"
    sample: int | None = None
    seed: int = 0
    sort: str = "file"
    group: str = ""
    predictions: str = ""
    selections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, items: Sequence[tuple[str, str]]) -> "State":
        """Return the state that the parameters of a URL describe; facets are checked by `select_rows`.

        Raises:
            UsageError: A value is invalid.
        """
        plain = {name: value for name, value in items if name in _PLAIN and value}
        selections: dict[str, tuple[str, ...]] = {}
        for name, value in items:
            if name not in _PLAIN:
                selections[name] = (*selections.get(name, ()), value)
        if len(plain.get("q", "")) > _MAX_QUERY_LENGTH:
            raise UsageError(f"The query is longer than {_MAX_QUERY_LENGTH:,} characters.")
        if plain.get("queue", "all") not in get_args(QueueKind):
            raise UsageError(unknown_name_message("queue", plain["queue"], get_args(QueueKind)))
        numbers = {name: _integer(name, plain.pop(name)) for name in ("sample", "seed") if name in plain}
        return cls(**plain, **numbers, selections=selections)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Group:
    """Photographs of a view that have one value."""

    text: str
    start: int
    count: int


@dataclass(frozen=True)
class View:
    """The photographs that a page shows. Labels set later remove none of them.

    Attributes:
        photographs: All photographs.
        state: What the view shows.
        columns: Columns by name: those of the photographs, of the labels and of the predictions.
        confidence: Confidence of each photograph's prediction, NaN without one.
        base: Photographs that match the query and the queue.
        search: Whether the query was taken as text to search.
    """

    photographs: Photographs
    state: State
    columns: Mapping[str, Column]
    confidence: Numbers
    base: Mask
    search: bool = False

    @cached_property
    def _masks(self) -> Mapping[str, Mask]:
        return {name: _selected(self._column(name), values) for name, values in self.state.selections.items()}

    def _column(self, name: str) -> Column:
        if name not in self.columns:
            raise UsageError(unknown_name_message("facet", name, list(self.columns)))
        return self.columns[name]

    @cached_property
    def _mask(self) -> Mask:
        return _all_of(self.base, self._masks.values())

    @cached_property
    def rows(self) -> Rows:
        """Rows of the photographs, in order.

        Raises:
            UsageError: A facet, its value, or the sort key is unknown.
        """
        rows = np.flatnonzero(self._mask).astype(np.int32)
        name = self.state.sort.removeprefix("-")
        if name not in SORT_TITLES:
            raise UsageError(unknown_name_message("sort key", name, list(SORT_TITLES)))
        key = self.confidence if name == "confidence" else self.photographs.sort_keys[name]
        key = key[rows]
        keys: list[NDArray[Any]] = [
            self.photographs.sort_keys["file"][rows],
            -key if self.state.sort.startswith("-") else key,
        ]
        if self.state.group:
            keys.append(_group_ranks(self._column(self.state.group), rows))
        return rows[np.lexsort(keys)]

    @cached_property
    def groups(self) -> list[Group]:
        """The groups in order; one without a heading if the photographs are not grouped."""
        if not self.state.group:
            return [Group("", 0, len(self.rows))]
        column = self._column(self.state.group)
        codes = column.codes[self.rows]
        starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.empty(0, np.int64)
        ends = np.append(starts[1:], len(codes))
        return [
            Group(column.texts[codes[start]] if codes[start] >= 0 else "unknown", int(start), int(end - start))
            for start, end in zip(starts, ends, strict=True)
        ]

    def facets(self) -> list[dict[str, Any]]:
        """Return for each facet its values with their counts among the photographs that match all other facets."""
        answers = []
        for name, column in self.columns.items():
            if name in self._masks:
                others = [mask for other, mask in self._masks.items() if other != name]
                mask = _all_of(self.base, others)
            else:
                mask = self._mask
            counts = np.bincount(column.codes[mask] + 1, minlength=len(column.values) + 1)
            selected = self.state.selections.get(name, ())
            answer = {"name": name, "title": column.title, "selected": selected, "missing": int(counts[0])}
            values = (
                _bins(column, counts[1:], self.base) if column.is_range else _frequent(column, counts[1:], selected)
            )
            answers.append({**answer, "kind": "range" if column.is_range else "list", **values})
        return answers


def _all_of(base: Mask, masks: Any) -> Mask:
    mask: Mask = np.logical_and.reduce([base, *masks])
    return mask


def _selected(column: Column, values: Sequence[str]) -> Mask:
    """Return the photographs with one of the values, or with a setting in one of the ranges (``2.8-4``)."""
    is_selected = np.zeros(len(column.values) + 1, bool)  # the last one is that of photographs without a value
    for value in values:
        low, dash, high = value.partition("-") if column.is_range else (value, "", "")
        first, last = (_code(column, part) for part in (low, high if dash else low))
        if first < 0:
            is_selected[-1] = True
        elif column.is_range:
            is_selected[min(first, last) : max(first, last) + 1] = True
        else:
            is_selected[first] = True
    return is_selected[column.codes]


def _code(column: Column, value: str) -> int:
    if not value:
        return -1
    if value in column.values:
        return column.values.index(value)
    key = name_key(value)
    for code, name in enumerate(column.values):
        if name_key(name) == key:
            return code
    raise UsageError(unknown_name_message(f"value of the facet {column.title}", value, list(column.values)))


def _bins(column: Column, counts: NDArray[np.int64], base: Mask) -> dict[str, Any]:
    """Return the bins from the first to the last that has photographs which match the query."""
    present = np.flatnonzero(np.bincount(column.codes[base] + 1, minlength=len(column.values) + 1)[1:])
    if not len(present):
        return {"values": []}
    bins = range(int(present[0]), int(present[-1]) + 1)
    return {"values": [[column.values[code], column.texts[code], int(counts[code])] for code in bins]}


def _frequent(column: Column, counts: NDArray[np.int64], selected: Sequence[str]) -> dict[str, Any]:
    """Return the values that occur, at most `_MAX_VALUES`, and how many more there are."""
    order = column.order(counts).tolist()
    codes = [code for code in order if counts[code] or column.values[code] in selected]
    kept = set(sorted(codes, key=lambda code: (column.values[code] not in selected, -counts[code]))[:_MAX_VALUES])
    values = [[column.values[code], column.texts[code], int(counts[code])] for code in codes if code in kept]
    return {"values": values, "more": len(codes) - len(values)}


def _group_ranks(column: Column, rows: Rows) -> NDArray[np.int64]:
    """Return for each row the position of its group; that of photographs without a value is the last."""
    codes = column.codes[rows]
    size = len(column.values)
    ranks = np.full(size + 1, size)
    ranks[column.order(np.bincount(codes + 1, minlength=size + 1)[1:])] = np.arange(size)
    return ranks[codes]


def _integer(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{name} must be a whole number, not '{text}'.")
    return int(text)
