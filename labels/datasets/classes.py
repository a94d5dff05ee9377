"""The classes of gathered labels: who has which, which are common enough, and how a manifest holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lightmeter.labels.datasets.dataset import SPLITS, label_column, stops_column
from lightmeter.labels.targets.base import Target, split_classes

Numbers = NDArray[np.int64]

_SHOWN = 8


@dataclass(frozen=True)
class RareClass:
    """A class that is in too few photographs or groups to stand on every side, and is left out."""

    target: str
    name: str
    photographs: int
    groups: int


def listed(rare: Sequence[RareClass]) -> str:
    """Return rare classes to read, those with the most photographs first, and the number of the others."""
    first = sorted(rare, key=lambda one: -one.photographs)[:_SHOWN]
    said = [f"{one.name} ({one.photographs} in {one.groups})" for one in first]
    return ", ".join(said) + (f" and {len(rare) - len(first)} more" if len(rare) > len(first) else "")


@dataclass(frozen=True)
class Members:
    """Which photographs have which classes of a target; one that has several stands there as often.

    Attributes:
        rows: of the photographs, shape (labels,).
        numbers: of the classes, in the order of the names, shape (labels,).
    """

    rows: Numbers
    numbers: Numbers


def names_in(table: pa.Table, target: Target[Any]) -> tuple[str, ...]:
    """Return the classes that some photograph has, in the target's order; open ones in that of the alphabet."""
    labels = table[label_column(target.name)].combine_chunks()
    found = {name for value in pc.unique(labels).drop_null().to_pylist() for name in split_classes(value)}
    return tuple(name for name in target.classes or sorted(found) if name in found)


def members(table: pa.Table, target: Target[Any], names: Sequence[str]) -> Members:
    """Return which photographs have which of some classes.

    Args:
        table: gathered photographs.
        target: whose labels.
        names: of the classes.
    """
    number = {name: index for index, name in enumerate(names)}
    lists = _per_label(table, target, [[number[one] for one in found] for found in _values(table, target, names)])
    rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    return Members(rows, pc.list_flatten(lists).to_numpy().astype(np.int64))


def common(
    target: Target[Any], names: Sequence[str], found: Members, group_of: Numbers, least: int
) -> tuple[tuple[str, ...], list[RareClass]]:
    """Return the classes that can stand on every side, in their order, and those that cannot.

    Args:
        target: whose classes.
        names: of the classes.
        found: their members.
        group_of: the group of each photograph.
        least: photographs that a class must have.
    """
    photographs = np.bincount(found.numbers, minlength=len(names)).tolist()
    pairs = np.unique(np.stack((found.numbers, group_of[found.rows]), axis=1), axis=0)
    groups = np.bincount(pairs[:, 0], minlength=len(names)).tolist()
    counted = [RareClass(target.name, *of) for of in zip(names, photographs, groups, strict=True)]
    rare = [one for one in counted if one.photographs < least or one.groups < len(SPLITS)]
    return tuple(one.name for one in counted if one not in rare), rare


def label_columns(table: pa.Table, target: Target[Any], names: Sequence[str]) -> dict[str, pa.Array]:
    """Return a target's columns of the manifest; what is none of the classes is null.

    Args:
        table: gathered photographs.
        target: whose labels.
        names: of the classes, in their order.
    """
    found = _values(table, target, names)
    if target.multilabel:
        indices = table[label_column(target.name)].combine_chunks().indices
        values = pa.array([one or None for one in found], pa.list_(pa.string()))
        return {label_column(target.name): values.take(indices)}
    words = pa.array([one[0] if one else None for one in found], pa.string())
    labels = words.take(table[label_column(target.name)].combine_chunks().indices)
    numbers = pc.if_else(labels.is_valid(), table[stops_column(target.name)].combine_chunks(), None)
    return {label_column(target.name): labels, stops_column(target.name): numbers}


def _values(table: pa.Table, target: Target[Any], names: Sequence[str]) -> list[list[str]]:
    """Return for each different label the classes that it names, in the order of the names."""
    labels = table[label_column(target.name)].combine_chunks().dictionary.to_pylist()
    return [[name for name in names if name in named] for named in (set(split_classes(label)) for label in labels)]


def _per_label(table: pa.Table, target: Target[Any], lists: list[list[int]]) -> pa.ListArray:
    indices = table[label_column(target.name)].combine_chunks().indices
    return pa.array(lists, pa.list_(pa.int64())).take(indices)
